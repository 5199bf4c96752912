"""The model card: what an archive holds, and how its answers come about. Stored as YAML beside the graph."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from weakseg.errors import ModelCardError
from weakseg.labels import Vocabulary
from weakseg.options import GrabCutMode, Levels, Options, Refine, check_levels

CARD_KEY = "weakseg"  # the card's section in TorchServe's model-config.yaml
Unit = Annotated[float, Field(ge=0, le=1)]


PAPER_THRESHOLDS = {GrabCutMode.PF_PB: 0.3, GrabCutMode.F_PF: 0.7, GrabCutMode.F_PB: 0.5}  # Table 1


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Preprocessing(_Strict):
    """How a photo becomes the network's input. Normalisation happens inside the graph, by mean and std below."""

    height: int = Field(ge=16, description="h, pixels")
    width: int = Field(ge=16, description="w, pixels")
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class Weights(_Strict):
    source: str = Field(description="Where the weights come from, in words a person can follow")
    licence: str
    sha256: str
    demonstration: bool = Field(False, description="True: made on the spot from drawings; not for real photos")


class Task(_Strict):
    """Defaults of one task: the whole photo (class task) or the inside of a box (object task)."""

    refine: Refine = Refine.GRABCUT
    grabcut_mode: GrabCutMode | Levels = GrabCutMode.PF_PB
    iterations: int = Field(1, ge=1, le=20)
    threshold: Unit = Field(0.3, description="t of refine=none")
    mode_thresholds: dict[GrabCutMode, Unit] = Field(
        PAPER_THRESHOLDS, description="t of each GrabCut mode; the paper's where one is not given"
    )

    @field_validator("grabcut_mode")
    @classmethod
    def _levels_ascend(cls, mode: GrabCutMode | Levels) -> GrabCutMode | Levels:
        return mode if isinstance(mode, GrabCutMode) else check_levels(mode)

    @field_validator("mode_thresholds")
    @classmethod
    def _every_mode_has_one(cls, given: dict[GrabCutMode, float]) -> dict[GrabCutMode, float]:
        return {**PAPER_THRESHOLDS, **given}


class Settings(_Strict):
    """Every choice of one request, made: from the request, else from the card. Reported as "options in force"."""

    refine: Refine
    grabcut_mode: GrabCutMode | Levels | None  # None with refine=none and with naked GrabCut
    levels: Levels | None  # (t0, t1, t2); None with refine=none and with naked GrabCut
    iterations: int | None  # None with refine=none
    threshold: float | None  # None where levels decide


class ModelCard(_Strict):
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    version: str = "1.0"
    network: str
    method: Literal["cam"]
    classes: tuple[str, ...] = Field(min_length=1)
    groups: dict[str, tuple[int, ...]] = {}
    multi_label: bool = Field(False, description="Scores are sigmoids, not a softmax")
    preprocessing: Preprocessing
    weights: Weights
    graph: dict[str, Any] = Field({}, description="How the graph makes its maps (views, weights used ...)")
    parity: dict[str, Any] = Field({}, description="Largest differences found at export, and the tolerance")
    made_of: str = Field("", description="Fingerprint of what `./scripts/serve` made it of; empty: somebody else did")
    runtime: Literal["onnx", "torchscript"] = "onnx"
    threads: int = Field(1, ge=1, description="Threads per worker, for the network and for GrabCut")
    refine_side: int = Field(500, ge=32, description="GrabCut runs at this long side at most, pixels")
    box_context: float | None = Field(
        None, ge=0, description="GrabCut sees this much around a box, as a fraction of its sides; none: the whole photo"
    )
    tag_threshold: Unit = Field(1.0, description="classes=auto: labels with at least this score beside the best one")
    photo_task: Task = Task()
    box_task: Task = Task()

    @model_validator(mode="after")
    def _groups_fit(self) -> ModelCard:
        self.vocabulary()
        return self

    def vocabulary(self) -> Vocabulary:
        return Vocabulary(self.classes, self.groups)

    def settings(self, options: Options) -> Settings:
        """The choices in force for one request: the caller's where given, else this card's."""
        task = self.box_task if options.box is not None else self.photo_task
        naked = options.classes == ("none",)
        refine = Refine.GRABCUT if naked else options.refine or self._implied_refine(options) or task.refine
        if refine is Refine.NONE:
            threshold = task.threshold if options.threshold is None else options.threshold
            return Settings(refine=refine, grabcut_mode=None, levels=None, iterations=None, threshold=threshold)
        iterations = options.iterations or task.iterations
        if naked:
            return Settings(refine=refine, grabcut_mode=None, levels=None, iterations=iterations, threshold=None)
        mode = options.grabcut_mode or task.grabcut_mode
        if isinstance(mode, GrabCutMode):
            threshold = task.mode_thresholds[mode] if options.threshold is None else options.threshold
            return Settings(
                refine=refine,
                grabcut_mode=mode,
                levels=mode.levels(threshold),
                iterations=iterations,
                threshold=threshold,
            )
        if options.threshold is not None:  # moves the middle of the card's levels
            t = options.threshold
            mode = (min(mode[0], t), t, max(mode[2], t))
        return Settings(refine=refine, grabcut_mode=mode, levels=mode, iterations=iterations, threshold=None)

    @staticmethod
    def _implied_refine(options: Options) -> Refine | None:
        asked = options.grabcut_mode is not None or options.iterations is not None
        return Refine.GRABCUT if asked else None

    def to_yaml(self, serving: dict[str, Any] | None = None) -> str:
        """TorchServe's model-config.yaml: its own keys (minWorkers, batchSize ...), then the card under ``weakseg``."""
        document = {**(serving or {}), CARD_KEY: self.model_dump(mode="json")}
        return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def parse_card(document: Any, *, where: str) -> ModelCard:
    """A card from a parsed model-config.yaml.

    Raises:
        ModelCardError: the section is missing or a field is wrong; names the field and the value.
    """
    if not isinstance(document, dict) or CARD_KEY not in document:
        raise ModelCardError(f"{where} has no {CARD_KEY!r} section. Archive the model with `python -m export`.")
    try:
        return ModelCard.model_validate(document[CARD_KEY])
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ModelCardError(f"{where}: {CARD_KEY}.{field} = {first['input']!r:.80}: {first['msg']}.") from error


def load_card(path: Path) -> ModelCard:
    """A card from a model-config.yaml file."""
    return parse_card(yaml.safe_load(path.read_text(encoding="utf-8")), where=str(path))
