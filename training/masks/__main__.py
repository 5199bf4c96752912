"""The command line: ``python -m training.masks --help``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from training.masks.paste import PasteSettings
from training.masks.white import WhiteSettings
from training.masks.written import Entry, plan_pasted, plan_white, write_data_set
from weakseg.archive import DEFAULT_MODEL
from weakseg.commands.terminal import explained
from weakseg.voc import ANIMALS

app = typer.Typer(add_completion=False, rich_markup_mode="markdown", no_args_is_help=True)
console = Console(highlight=False, soft_wrap=True)

WHITE, PASTE = WhiteSettings(), PasteSettings()

Out = Annotated[Path, typer.Option(help="Folder to write; absent or empty.", show_default=False)]
HeldOut = Annotated[float, typer.Option(min=0.001, max=0.999, help="Share for val.txt, by a hash of file names.")]
Threshold = Annotated[
    float,
    typer.Option(
        min=0.1, help="Least difference from the background, of 255. Lower for paler objects, higher for noisy photos."
    ),
]
Holes = Annotated[float, typer.Option(min=0, max=1, help="Holes up to this share of the object are filled.")]
Specks = Annotated[float, typer.Option(min=0, max=1, help="Parts up to this share of the object are removed.")]
Shadows = Annotated[bool, typer.Option(help="Look for a soft shadow below the object, and leave it out.")]


@app.callback()
def main() -> None:
    """Masks to learn from, without drawing any: out of photos of objects on a white or otherwise plain background.

    `white` makes a mask for each photo. `paste` puts the objects on photos of scenes, so that a network learns to find
    them anywhere. Both write a folder that any recipe with `task: pixels` reads:

    `python -m training RECIPE --data FOLDER format=masks classes=[shoe]`

    With `format=white` or `format=pasted backgrounds=DIR` a recipe makes the same while it trains, new scenes in every
    epoch, and nothing is written. Look at some masks here first.
    """


@app.command()
def white(
    photos: Annotated[Path, typer.Option(help="Photos, or a folder that has them in `images`.", show_default=False)],
    out: Out,
    held_out: HeldOut = 0.1,
    threshold: Threshold = WHITE.threshold,
    holes: Holes = WHITE.holes,
    specks: Specks = WHITE.specks,
    shadows: Shadows = WHITE.shadows,
) -> None:
    """Make masks of photos with a plain background.

    The background's colour is measured at the border of each photo: #f5f5f5 is as good as white. Writes
    `images/NAME.jpg`, `masks/NAME.png` (255 on the object, else 0), `train.txt` and `val.txt`.

    Example: `python -m training.masks white --photos shoes --out data/shoes_white`
    """
    with explained():
        count, entries = plan_white(photos, WhiteSettings(threshold, holes, specks, shadows), held_out)
        write_data_set(_show(entries, count), out)
    console.print(f"{count} photos with masks in {out}")


@app.command()
def paste(
    objects: Annotated[Path, typer.Option(help="Photos of objects on a plain background.", show_default=False)],
    backgrounds: Annotated[
        Path, typer.Option(help="Photos of scenes without such objects, such as VOC's.", show_default=False)
    ],
    out: Out,
    count: Annotated[int, typer.Option(min=2, help="Pictures to make.")] = 1000,
    held_out: HeldOut = 0.1,
    most_objects: Annotated[int, typer.Option(min=1, help="In one scene; the number is drawn from 1 on.")] = 1,
    least_size: Annotated[
        float, typer.Option(min=0.01, help="An object's longer side, as a share of the scene's shorter side.")
    ] = PASTE.size[0],
    largest_size: Annotated[float, typer.Option(min=0.01, help="Likewise.")] = PASTE.size[1],
    turn: Annotated[float, typer.Option(min=0, max=180, help="Largest turn to either side, in degrees.")] = (
        PASTE.turn_deg
    ),
    outside: Annotated[float, typer.Option(min=0, max=0.99, help="Largest share out of the picture.")] = PASTE.outside,
    light: Annotated[
        float, typer.Option(min=0, max=1, help="How far objects take on their scene's light, at most.")
    ] = PASTE.light,
    threshold: Threshold = WHITE.threshold,
    holes: Holes = WHITE.holes,
    specks: Specks = WHITE.specks,
    shadows: Shadows = WHITE.shadows,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same pictures.")] = 0,
) -> None:
    """Paste objects at random size, place, turn and mirroring on photos of scenes, with soft edges and exact masks.

    Objects and scenes are held out separately: those in `val.txt` are unseen objects on unseen scenes. Writes
    `images`, `masks`, `train.txt` and `val.txt` as `white` does.

    Example: `python -m training.masks paste --objects shoes --backgrounds photos --out data/pasted --count 5000`
    """
    with explained():
        if least_size > largest_size:
            raise typer.BadParameter(
                f"{least_size} is more than --largest-size, {largest_size}.", param_hint="--least-size"
            )
        white_settings = WhiteSettings(threshold, holes, specks, shadows)
        how = PasteSettings((1, most_objects), (least_size, largest_size), turn, outside, light)
        total, entries = plan_pasted(objects, backgrounds, count, white_settings, how, held_out, seed)
        write_data_set(_show(entries, total), out)
    console.print(f"{total} pictures with masks in {out}")


@app.command()
def weak(
    voc: Annotated[Path, typer.Option(help="Holds VOCdevkit/VOC2012, or is that folder.", show_default=False)],
    out: Annotated[
        Path,
        typer.Option(help="Folder of the masks; those that it has are kept, if made likewise.", show_default=False),
    ],
    classes: Annotated[str, typer.Option(help="VOC classes to ask for, comma separated.")] = ",".join(ANIMALS),
    split: Annotated[str, typer.Option(help="A list in ImageSets.")] = "train",
    model: Annotated[str, typer.Option(help="Of the store, or an archive's path.")] = DEFAULT_MODEL,
    store: Annotated[Path, typer.Option(help="Folder of the archives.")] = Path("model_store"),
    refine: Annotated[str | None, typer.Option(help="As in a request.", show_default="the card's")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Worker processes.", show_default="all cores")] = None,
) -> None:
    """Make masks by a weak method, from each photo's image labels: no true mask is looked at.

    The same command goes on where a stopped one ended; `made_by.json` says how the masks were made, and another model,
    split or option is refused. A pixel network learns from them with

    `python -m training fcn8s_mobilenet_v2_voc --data DIR masks_dir=OUT 'classes=[cat,cow,dog,horse,sheep]'`

    Example: `python -m training.masks weak --voc DIR --out out/weak_masks`
    """
    with explained():
        from training.masks.weak import WeakOrder, make_weak_masks  # here, as the runtimes take seconds to import

        names = tuple(name.strip() for name in classes.split(","))
        order = WeakOrder(voc, split, model, store, names, {"refine": refine} if refine else {}, out)
        count, made = make_weak_masks(order, jobs=jobs)
        for _ in track(made, "masks", count, console=console, transient=True):
            pass
    console.print(f"{count} masks made, {len(list(out.glob('*.png')))} in {out}")


def _show(entries: Iterator[Entry], count: int) -> Iterator[Entry]:
    yield from track(entries, "pictures", count, console=console, transient=True)


if __name__ == "__main__":
    app(prog_name="python -m training.masks")
