"""Several classifiers as one archive: ``python -m export.ensemble SPEC.yaml``, see `EnsembleSpec` for the file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from rich.console import Console
from rich.markup import escape

from export.build import BuiltArchive, Serving, pack, read_groups
from export.default_models import PRESETS
from export.parsing import choose_settings
from export.steps import Steps
from weakseg.attribution.ensemble import EnsembleGraph, Member
from weakseg.attribution.methods import build_graph
from weakseg.card import Method, ModelCard, Weights
from weakseg.errors import ModelCardError, WeaksegError
from weakseg.fields import merge_fields, read_fields
from weakseg.labels import Vocabulary
from weakseg.models.classifier import Classifier, load_classifier

Rgb = tuple[float, float, float]

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")
console = Console(highlight=False)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MemberSpec(_Strict):
    """One network, its method, and how much it counts."""

    network: str | None = Field(None, description="None: what the checkpoint says, else squeezenet1_1")
    checkpoint: Path | None = Field(None, description="Instead of ImageNet weights; relative to the working directory")
    classes: Path | None = None
    mean: Rgb | None = None
    std: Rgb | None = None
    groups: str | None = Field(None, description="voc, none or a file; None: voc with ImageNet classes, else none")
    preset: str | None = Field(None, description="Settings to start from")
    method: Method | None = None
    settings: dict[str, Any] = Field({}, description="Of the method; those of the preset stay where not named")
    map_weight: float = Field(1.0, ge=0)
    score_weight: float = Field(1.0, ge=0)


class EnsembleSpec(_Strict):
    """The YAML file. The first member's labels are the ensemble's."""

    name: str
    version: str = "1.0"
    size: tuple[int, int] = Field(description="h and w of the input, pixels")
    members: tuple[MemberSpec, ...] = Field(min_length=2)
    card: dict[str, Any] = Field({}, description="More fields of the model card")


@dataclass(frozen=True, slots=True)
class _Loaded:
    spec: MemberSpec
    classifier: Classifier
    vocabulary: Vocabulary
    member: Member


def read_spec(document: Mapping[str, Any], *, where: str) -> EnsembleSpec:
    """Raises: ModelCardError: a field is missing or wrong; names it."""
    try:
        return EnsembleSpec.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise ModelCardError(f"{where}: {field} = {first['input']!r:.80}: {first['msg']}.") from error


def build_ensemble(
    spec: EnsembleSpec,
    directory: Path,
    on_step: Callable[[str], None] = lambda _: None,
    *,
    serving: Serving | None = None,
    card_fields: Mapping[str, Any] | None = None,
) -> BuiltArchive:
    """Load every member, join their graphs, and pack them as ``directory/NAME.mar``.

    Args:
        card_fields: Over those of the file.
    Raises:
        WeightsUnavailableError: ImageNet weights of a member that cannot be had.
        ParityError: the exported graphs disagree. ModelError: something does not fit. No archive is written or changed.
    """
    on_step("load the networks")
    loaded = [_load(member) for member in spec.members]
    graph = EnsembleGraph([each.member for each in loaded])
    card = _describe(spec, loaded, merge_fields(spec.card, card_fields or {}))
    return pack(graph, card, directory, on_step, serving=serving)


def _load(spec: MemberSpec) -> _Loaded:
    classifier = load_classifier(
        spec.network, spec.checkpoint or "imagenet", classes=spec.classes, mean=spec.mean, std=spec.std
    )
    preset = PRESETS[spec.preset].settings if spec.preset else None
    settings = choose_settings(spec.method, preset, spec.settings, {})
    groups = spec.groups or ("voc" if len(classifier.classes) == 1000 else "none")
    vocabulary = Vocabulary(classifier.classes, read_groups(groups, classifier.classes))
    graph = build_graph(classifier, vocabulary, settings, multi_label=classifier.multi_label)
    return _Loaded(spec, classifier, vocabulary, Member(graph, vocabulary, spec.map_weight, spec.score_weight))


def _describe(spec: EnsembleSpec, loaded: list[_Loaded], more: Mapping[str, Any]) -> ModelCard:
    first, weights = loaded[0], [each.classifier.weights for each in loaded]
    normalisation = first.classifier.normalisation
    fields = {
        "name": spec.name,
        "version": spec.version,
        "network": " + ".join(each.classifier.network for each in loaded),
        "method": "fusion",
        "classes": first.vocabulary.classes,
        "groups": first.vocabulary.groups,
        "multi_label": first.classifier.multi_label,
        "preprocessing": {
            "height": spec.size[0],
            "width": spec.size[1],
            "mean": normalisation.mean,
            "std": normalisation.std,
        },
        "weights": Weights(
            source="; ".join(each.source for each in weights),
            licence="; ".join(dict.fromkeys(each.licence for each in weights)),
            sha256=", ".join(each.sha256 for each in weights),
        ),
        "graph": {"members": [_describe_member(each) for each in loaded]},
    }
    return ModelCard(**{**fields, **more})


def _describe_member(loaded: _Loaded) -> dict[str, Any]:
    settings = loaded.member.graph.settings
    return {
        "network": loaded.classifier.network,
        "method": settings.method,
        "map_weight": loaded.spec.map_weight,
        "score_weight": loaded.spec.score_weight,
        **dataclasses.asdict(settings),
    }


@app.command()
def export_ensemble(
    spec: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="YAML: name, size, members, card.")],
    out: Annotated[Path, typer.Option(help="Folder of the archive.")] = Path("model_store"),
    threads: Annotated[int, typer.Option(help="Threads per worker.")] = 1,
) -> None:
    """Export several classifiers as one model: their maps and scores are averaged inside one graph.

    `export/ensembles/weakseg_large.yaml` is an example.
    """
    steps = Steps(console)
    try:
        order = read_spec(read_fields(spec), where=str(spec))
        built = build_ensemble(order, out, steps, card_fields={"threads": threads})
    except WeaksegError as error:
        steps.finish()
        console.print(f"[red]{type(error).__name__}[/red]: {escape(str(error))}")
        raise typer.Exit(1) from error
    steps.finish()
    console.print(f"Wrote {built.path} ({built.path.stat().st_size / 1e6:.1f} MB).", markup=False)


if __name__ == "__main__":
    app(prog_name="python -m export.ensemble")
