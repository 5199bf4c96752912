"""The command line: ``python -m export --help``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from export.build import BuiltArchive, Model, Serving, build_archive, default_batch_size, read_groups
from export.default_models import METHOD_FIELDS, PRESETS
from export.parsing import (
    change_settings,
    choose_settings,
    default_name,
    parse_hw,
    parse_names,
    parse_numbers,
    parse_rgb,
    refuse_flags,
)
from export.steps import Steps
from weakseg.attribution.methods import SETTINGS
from weakseg.attribution.pixels import PixelSettings
from weakseg.errors import WeaksegError
from weakseg.fields import merge_fields, read_fields
from weakseg.models.classifier import load_classifier
from weakseg.models.pixel.load import is_pixel_checkpoint, load_pixel_model

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")
console = Console(highlight=False)

NETWORK, MAPS, SERVING = "The network", "How maps are made", "How it is served"
LABELS_PIXELS = "{} holds a network that labels pixels; its checkpoint says which, and its maps are its probabilities."


class Weighting(StrEnum):
    MEAN = "mean"
    SOFTMAX = "softmax"


MethodName = StrEnum("MethodName", {method: method for method in SETTINGS})  # type: ignore[misc]


PresetName = StrEnum("PresetName", {name: name for name in PRESETS})  # type: ignore[misc]


class RuntimeName(StrEnum):
    ONNX = "onnx"
    TORCHSCRIPT = "torchscript"


@app.command()
def export(
    network: Annotated[
        str | None,
        typer.Option(
            help="A torchvision classifier (squeezenet1_1, resnet50, vgg16, mobilenet_v2 ...), or `alexnet_plus`, "
            "`vgg16_fcn`, `joint_mobilenet_v2`, `demo` ... `cam` needs one that ends in global average pooling and one "
            "linear or 1x1 layer, `joint` one that makes class maps by itself.",
            show_default="what a checkpoint of `python -m training` says, else squeezenet1_1",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    method: Annotated[
        MethodName | None,
        typer.Option(
            help="How maps are made: cam (from the last feature map), saliency, guided, dcsm, gradcam, layercam or "
            "fusion (both), joint (the network's own class maps).",
            metavar="NAME",
            show_default="the preset's, else cam",
            rich_help_panel=MAPS,
        ),
    ] = None,
    weights: Annotated[
        str,
        typer.Option(help="`imagenet` (downloaded once into TORCH_HOME) or `random`.", rich_help_panel=NETWORK),
    ] = "imagenet",
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Your own weights: a state dict (.pt, .pth), or a checkpoint of `python -m training`. Replaces "
            "--weights.",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(help="Class names: text, one a line, or JSON, in the network's order.", rich_help_panel=NETWORK),
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option(help="Mean of R,G,B in [0, 1] that it was trained with.", rich_help_panel=NETWORK),
    ] = None,
    std: Annotated[
        str | None,
        typer.Option(help="Standard deviation of R,G,B, likewise.", rich_help_panel=NETWORK),
    ] = None,
    multi_label: Annotated[
        bool,
        typer.Option("--multi-label", help="Scores are sigmoids, not a softmax.", rich_help_panel=NETWORK),
    ] = False,
    licence: Annotated[
        str | None, typer.Option(help="Licence of the weights, for the model card.", rich_help_panel=NETWORK)
    ] = None,
    groups: Annotated[
        str | None,
        typer.Option(
            help="Names for several classes at once: `voc` (the 20 VOC classes out of ImageNet's), `none`, or a YAML "
            "file such as `dog: [151, 152, Chihuahua]`. Default: voc with ImageNet weights, else none.",
            rich_help_panel=MAPS,
        ),
    ] = None,
    preset: Annotated[
        PresetName | None,
        typer.Option(
            metavar="NAME",
            help="Maps, size and the card's defaults of one of our models: `weakseg` (SqueezeNet 1.1 alone: it names "
            "its layers) or `squeezenet_cam` (any classifier that `cam` takes). What is given beside it wins.",
            show_default="the paper's plain maps",
            rich_help_panel=MAPS,
        ),
    ] = None,
    maps: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="YAML file with settings of the maps, as a card has them under `graph`; flags beside it win.",
            rich_help_panel=MAPS,
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            help="Network input, HxW pixels; of a network that labels pixels the size at which the export is compared "
            "and workers warm up. Default: the preset's, else as trained.",
            rich_help_panel=MAPS,
        ),
    ] = None,
    positive_weights: Annotated[
        bool | None, typer.Option(help="Maps from the head's positive weights alone.", rich_help_panel=MAPS)
    ] = None,
    contrast: Annotated[
        float | None,
        typer.Option(
            help="How much of the mean class is subtracted, 0 to 1; with --positive-weights.", rich_help_panel=MAPS
        ),
    ] = None,
    similarity: Annotated[
        bool | None, typer.Option(help="Average maps over cells with similar features.", rich_help_panel=MAPS)
    ] = None,
    scales: Annotated[
        str | None,
        typer.Option(help="Views of the photo that maps are averaged over, such as 1,0.5.", rich_help_panel=MAPS),
    ] = None,
    flip: Annotated[bool | None, typer.Option(help="Every view a second time, mirrored.", rich_help_panel=MAPS)] = None,
    pool: Annotated[
        int | None,
        typer.Option(help="saliency, guided: average maps over squares of so many pixels.", rich_help_panel=MAPS),
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(help="gradcam, layercam: the layer; a wrong name lists them all.", rich_help_panel=MAPS),
    ] = None,
    layers: Annotated[
        str | None, typer.Option(help="dcsm: the layers that are summed, comma separated.", rich_help_panel=MAPS)
    ] = None,
    member_weighting: Annotated[
        Weighting | None,
        typer.Option(help="How a group's map comes from its members' maps.", show_default="mean", rich_help_panel=MAPS),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            help="Of --member-weighting softmax; higher is closer to mean.", show_default="1", rich_help_panel=MAPS
        ),
    ] = None,
    size_correction: Annotated[
        float | None,
        typer.Option(help="How far a group's score is corrected for its number of classes.", rich_help_panel=MAPS),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Model name in the service. Default: NETWORK_METHOD.", rich_help_panel=SERVING),
    ] = None,
    version: Annotated[str, typer.Option(help="Model version.", rich_help_panel=SERVING)] = "1.0",
    runtime: Annotated[
        RuntimeName, typer.Option(help="The one that serves; both are archived.", rich_help_panel=SERVING)
    ] = RuntimeName.ONNX,
    threads: Annotated[int, typer.Option(help="Threads per worker.", rich_help_panel=SERVING)] = 1,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Worker processes.", show_default="as the machine has cores", rich_help_panel=SERVING),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1, help="Requests per batch, at most.", show_default="8; dcsm: 2; pixels: 4", rich_help_panel=SERVING
        ),
    ] = None,
    max_batch_delay: Annotated[
        int, typer.Option(min=1, help="How long a batch waits to fill, ms.", rich_help_panel=SERVING)
    ] = Serving().max_batch_delay_ms,
    handler: Annotated[
        Path | None,
        typer.Option(
            help="Python file of the TorchServe handler.", show_default="the method's", rich_help_panel=SERVING
        ),
    ] = None,
    card: Annotated[
        Path | None,
        typer.Option(
            help="YAML file with more fields of the model card (photo_task, refine_side ...), as `weakseg tune` "
            "writes them. Merged into the preset's.",
            rich_help_panel=SERVING,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the archive.", rich_help_panel=SERVING)] = Path("model_store"),
) -> None:
    """Turn a network into an archive that TorchServe and the `weakseg` command serve.

    What makes the maps becomes part of the network's graph, backward passes included, as TorchScript and as ONNX. Both
    are compared with the network itself; if they disagree, no archive is written.

    **ImageNet weights:** `python -m export --network resnet50`, `python -m export --network vgg16 --method dcsm`

    **Your own classifier:** `python -m export --network mobilenet_v2 --checkpoint best.pth --classes names.txt
    --preset squeezenet_cam`

    **A network that labels pixels:** `python -m export --checkpoint runs/shoes/best.pt --name shoes`
    """
    chosen = PRESETS[preset] if preset else None
    rgb_mean, rgb_std = (parse_rgb(text) if text else None for text in (mean, std))
    hw = parse_hw(size) if size else chosen and chosen.hw
    steps = Steps(console)
    try:
        flags = {
            "positive_weights": positive_weights,
            "contrast": contrast,
            "similarity": similarity,
            "scales": parse_numbers(scales) if scales else None,
            "flip": flip,
            "pool_px": pool,
            "layer": layer,
            "layers": parse_names(layers) if layers else None,
            "member_weighting": member_weighting.value if member_weighting else None,
            "temperature": temperature,
            "size_correction": size_correction,
        }
        given = {"classes": classes, "mean": rgb_mean, "std": rgb_std, "licence": licence}
        from_file = read_fields(maps) if maps else {}
        model: Model
        if checkpoint and is_pixel_checkpoint(checkpoint):
            refuse_flags(
                LABELS_PIXELS.format(checkpoint),
                {"--network": network, "--method": method, "--preset": preset, "--multi-label": multi_label},
            )
            settings = change_settings(PixelSettings(), from_file, flags)
            steps("load the network")
            model = load_pixel_model(checkpoint, **given)
        else:
            settings = choose_settings(method.value if method else None, chosen and chosen.settings, from_file, flags)
            steps("load the network")
            model = load_classifier(network, checkpoint or weights, **given)
        defaults = chosen.card_fields if chosen else METHOD_FIELDS.get(settings.method, {})
        built = build_archive(
            model,
            name=name or default_name(model.network, settings.method),
            directory=out,
            groups=read_groups(groups or _default_groups(weights, checkpoint), model.classes),
            settings=settings,
            hw=hw,
            serving=Serving(workers, batch_size or default_batch_size(settings.method), max_batch_delay),
            handler=handler,
            card_fields={
                **merge_fields(defaults, read_fields(card) if card else {}),
                "version": version,
                "multi_label": multi_label or model.multi_label,
                "runtime": runtime.value,
                "threads": threads,
            },
            on_step=steps,
        )
    except WeaksegError as error:
        steps.finish()
        console.print(f"[red]{type(error).__name__}[/red]: {escape(str(error))}")
        raise typer.Exit(1) from error
    steps.finish()
    console.print(_summary(built, model), markup=False)
    if checkpoint and model.classes[0] == "class 0":
        console.print('Notice: without --classes, the classes are named "class 0", "class 1" ...')
    if model.doubt:
        console.print(f"WARNING: {model.doubt}", markup=False)


def _default_groups(weights: str, checkpoint: Path | None) -> str:
    return "voc" if weights == "imagenet" and checkpoint is None else "none"


def _summary(built: BuiltArchive, model: Model) -> str:
    size_mb = built.path.stat().st_size / 1e6
    differences = "; ".join(
        f"{runtime} {found['scores']:.1e} (scores), {found['maps']:.1e} (maps)"
        for runtime, found in built.card.parity["largest_difference_from_eager"].items()
    )
    return (
        f"Wrote {built.path} ({size_mb:.1f} MB): {len(model.classes)} classes, {len(built.card.groups)} groups. "
        f"Largest difference from eager: {differences}; tolerance {built.card.parity['tolerance']}."
    )


if __name__ == "__main__":
    app(prog_name="python -m export")
