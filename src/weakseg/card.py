"""The model card: what an archive holds, and how its answers come about. Stored as YAML beside the graph."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from weakseg.errors import ModelCardError, OptionValueError
from weakseg.labels import Vocabulary
from weakseg.options import (
    LEAST_CRF_COLOUR_RGB,
    LEAST_CRF_COLOUR_SIGMA,
    LEAST_CRF_SMOOTH_SIGMA,
    MAX_BUDGET_MS,
    MAX_CRF_STEPS,
    MAX_RIVALS,
    MAX_SIDE,
    TILED_SIDE,
    CrfEngineName,
    GrabCutEngine,
    GrabCutMode,
    Levels,
    Options,
    Refine,
    check_levels,
)

CARD_KEY = "weakseg"  # the card's section in TorchServe's model-config.yaml
Unit = Annotated[float, Field(ge=0, le=1)]


Method = Literal["cam", "joint", "saliency", "guided", "dcsm", "gradcam", "layercam", "fusion", "pixels"]

PAPER_THRESHOLDS = {GrabCutMode.PF_PB: 0.3, GrabCutMode.F_PF: 0.7, GrabCutMode.F_PB: 0.5}  # Table 1


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Preprocessing(_Strict):
    """How a photo becomes the network's input. Normalisation happens inside the graph, by mean and std below.

    Without ``max_side`` it is squashed to height x width. With it, it keeps its proportions, and height and width are
    the size at which the export was compared and a worker warms up.
    """

    height: int = Field(ge=16, description="h, pixels")
    width: int = Field(ge=16, description="w, pixels")
    max_side: int | None = Field(
        None, ge=16, le=MAX_SIDE, description="Of method pixels: long side of the input at most, pixels; none: squashed"
    )
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class Weights(_Strict):
    source: str = Field(description="Where the weights come from, in words a person can follow")
    licence: str
    sha256: str
    demonstration: bool = Field(False, description="True: made on the spot from drawings; not for real photos")


class CrfSettings(_Strict):
    """The dense CRF of Kraehenbuehl & Koltun (NIPS 2011): unary from the map, two kernels, mean-field steps.

    Lengths are fractions of the long side, so that one setting suits small and large photos.
    """

    engine: CrfEngineName = Field(CrfEngineName.FAST, description="How exactly it is computed")
    steps: int = Field(10, ge=1, le=MAX_CRF_STEPS)
    confidence: float = Field(14.0, gt=0, le=200, description="a of the unary sigmoid(a (map - threshold))")
    smooth_sigma: float = Field(0.006, ge=LEAST_CRF_SMOOTH_SIGMA, le=1, description="Reach of the smoothness kernel")
    smooth_weight: float = Field(3.0, ge=0, le=100)
    colour_sigma: float = Field(0.1, ge=LEAST_CRF_COLOUR_SIGMA, le=1, description="Reach of the appearance kernel")
    colour_rgb: float = Field(
        8.0, ge=LEAST_CRF_COLOUR_RGB, le=255, description="Its width in colour, grey levels of 0 to 255"
    )
    colour_weight: float = Field(5.0, ge=0, le=100)


class GuidedSettings(_Strict):
    """The guided filter (He, Sun & Tang, ECCV 2010): the map, smoothed wherever the photo's colour is even."""

    radius: float = Field(0.06, gt=0, le=0.5, description="A fraction of the long side")
    eps: float = Field(3e-4, gt=0, le=1, description="Variance of colours in [0, 1] that still counts as even")


class Candidate(_Strict):
    """A refinement that refine=auto may choose; engines are the task's where not given."""

    refine: Refine
    crf_engine: CrfEngineName | None = None
    grabcut_engine: GrabCutEngine | None = None

    @model_validator(mode="after")
    def _engines_fit(self) -> Candidate:
        if (self.crf_engine and not self.refine.has_crf) or (self.grabcut_engine and not self.refine.cuts):
            raise ValueError(f"{self.refine} has no step for this engine")
        return self


_RANKING = (  # of maps that need no smoothing, and of those that do; from docs/results/pareto.md
    Candidate(refine=Refine.CRF_GRABCUT, crf_engine=CrfEngineName.FAST),
    Candidate(refine=Refine.CRF, crf_engine=CrfEngineName.FAST),
    Candidate(refine=Refine.CRF, crf_engine=CrfEngineName.FASTEST),
    Candidate(refine=Refine.GUIDED),
)
_SMOOTH_RANKING = (
    Candidate(refine=Refine.GAUSSIAN_CRF_GRABCUT, crf_engine=CrfEngineName.FAST),
    Candidate(refine=Refine.GAUSSIAN_CRF, crf_engine=CrfEngineName.FAST),
    Candidate(refine=Refine.GAUSSIAN_CRF, crf_engine=CrfEngineName.FASTEST),
    Candidate(refine=Refine.GAUSSIAN_GUIDED),
    Candidate(refine=Refine.GAUSSIAN),
)


class Task(_Strict):
    """Defaults of one task: the whole photo (class task) or the inside of a box (object task)."""

    refine: Refine = Refine.GRABCUT
    ranking: tuple[Candidate, ...] = Field(
        (), description="What refine=auto chooses from, best first, before none; empty: the usual, see `candidates`"
    )
    sigma: float = Field(0.02, gt=0, le=0.2, description="Of refine=gaussian, a fraction of the long side")
    guided: GuidedSettings = GuidedSettings()
    crf: CrfSettings = CrfSettings()
    crf_levels: Levels = Field((0.1, 0.5, 0.9), description="GrabCut's levels where a CRF's probability feeds it")
    refine_thresholds: dict[Refine, Unit] = Field({}, description="t of a refine that wants another than `threshold`")
    grabcut_engine: GrabCutEngine = GrabCutEngine.FAST
    grabcut_mode: GrabCutMode | Levels = GrabCutMode.PF_PB
    iterations: int = Field(1, ge=1, le=20)
    threshold: Unit = Field(0.3, description="t of refine=none")
    mode_thresholds: dict[GrabCutMode, Unit] = Field(
        PAPER_THRESHOLDS, description="t of each GrabCut mode; the paper's where one is not given"
    )

    def candidates(self) -> tuple[Candidate, ...]:
        """What refine=auto chooses from, best first: the ranking, or the usual one for maps of this kind, and none."""
        usual = _SMOOTH_RANKING if self.refine.smooths else _RANKING
        return (*(self.ranking or usual), Candidate(refine=Refine.NONE))

    def threshold_of(self, refine: Refine) -> float:
        """t: where the map is cut, or where the CRF's unary is undecided. GrabCut after it does not change it."""
        before = Refine.of(smooths=refine.smooths, guides=refine.guides, has_crf=refine.has_crf)
        return self.refine_thresholds.get(refine, self.refine_thresholds.get(before, self.threshold))

    @field_validator("grabcut_mode", "crf_levels")
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
    max_side: int | None = None  # None where photos are squashed to the network's size
    tile: bool | None = None  # None but for networks that learned masks
    subtract_classes: int | None = None  # None where the model subtracts none
    sigma: float | None = None  # None without gaussian
    guided: GuidedSettings | None = None  # None without guided
    crf: CrfSettings | None = None  # None without crf
    grabcut_engine: GrabCutEngine | None = None  # None without grabcut
    grabcut_mode: GrabCutMode | Levels | None = None  # None without grabcut and with naked GrabCut
    levels: Levels | None = None  # (t0, t1, t2); None without grabcut and with naked GrabCut
    iterations: int | None = None  # None without grabcut
    threshold: float | None = None  # None where levels alone decide


class Sides(NamedTuple):
    """At which long side each step runs at most, in pixels."""

    guided: int
    crf: int
    grabcut: int


class ModelCard(_Strict):
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    version: str = "1.0"
    network: str
    method: Method
    classes: tuple[str, ...] = Field(min_length=1)
    groups: dict[str, tuple[int, ...]] = {}
    multi_label: bool = Field(False, description="Scores are sigmoids, not a softmax")
    preprocessing: Preprocessing
    weights: Weights
    graph: dict[str, Any] = Field({}, description="How the graph makes its maps (views, weights used ...)")
    parity: dict[str, Any] = Field({}, description="Largest differences found at export, and the tolerance")
    made_of: str = Field("", description="Fingerprint of what `./scripts/serve` made it of; empty: somebody else did")
    runtime: Literal["onnx", "torchscript"] = "onnx"
    threads: int = Field(1, ge=1, description="Threads per worker: the network's, and refinements side by side")
    refine_side: int = Field(500, ge=32, description="Refinement runs at this long side at most, pixels")
    guided_side: int | None = Field(None, ge=32, description="Of the guided filter; none: refine_side")
    crf_side: int | None = Field(None, ge=32, description="Of the CRF; none: refine_side")
    grabcut_side: int | None = Field(None, ge=32, description="Of GrabCut; none: refine_side")
    budget_ms: float = Field(50.0, gt=0, le=MAX_BUDGET_MS, description="Of refine=auto, where a request sends none")
    box_context: float | None = Field(
        None, ge=0, description="They see this much around a box, as a fraction of its sides; none: the whole photo"
    )
    tag_threshold: Unit = Field(
        1.0,
        description="classes=auto: labels with at least this score beside the best one; where classes are subtracted, "
        "the best one alone",
    )
    subtract_classes: int | None = Field(
        None, ge=0, le=MAX_RIVALS, description="DCSM: labels subtracted from each map by default; none: not possible"
    )
    photo_task: Task = Task()
    box_task: Task = Task()

    @field_validator("preprocessing")
    @classmethod
    def _only_pixels_keep_proportions(cls, given: Preprocessing, info: ValidationInfo) -> Preprocessing:
        method = info.data.get("method")  # none: it was refused before
        if method == "pixels" and given.max_side is None:
            raise ValueError("preprocessing.max_side is missing: method pixels keeps proportions; give it, e.g. 320")
        if method not in ("pixels", None) and given.max_side is not None:
            raise ValueError(
                f"preprocessing.max_side = {given.max_side} is of method pixels, not of {method}; leave it out"
            )
        return given

    @model_validator(mode="after")
    def _groups_fit(self) -> ModelCard:
        self.vocabulary()
        return self

    def vocabulary(self) -> Vocabulary:
        return Vocabulary(self.classes, self.groups)

    @property
    def sides(self) -> Sides:
        asked = Sides(self.guided_side or 0, self.crf_side or 0, self.grabcut_side or 0)
        return Sides(*(side or self.refine_side for side in asked))

    def task(self, options: Options) -> Task:
        """Photo or box."""
        return self.box_task if options.box is not None else self.photo_task

    def settings(self, options: Options) -> Settings:
        """The choices in force for one request: the caller's where given, else this card's.

        With refine=auto those of the best refinement; see `ranking`.

        Raises:
            OptionValueError: classes are to be subtracted, and this model cannot.
        """
        if options.is_auto:
            return self.ranking(options)[0]
        task = self.task(options)
        if options.classes == ("none",):
            engine = options.grabcut_engine or task.grabcut_engine
            return Settings(
                refine=Refine.GRABCUT, grabcut_engine=engine, iterations=options.iterations or task.iterations
            )
        refine = options.refine if isinstance(options.refine, Refine) else _implied_refine(options, task.refine)
        return Settings(
            refine=refine,
            **self._view(options),
            subtract_classes=self._subtracted(options),
            sigma=(options.sigma or task.sigma) if refine.smooths else None,
            guided=_choose_guided(options, task.guided) if refine.guides else None,
            crf=_choose_crf(options, task.crf) if refine.has_crf else None,
            **_choose_cut(options, task, refine),
        )

    def ranking(self, options: Options) -> tuple[Settings, ...]:
        """What refine=auto chooses from, best first: the settings of each of the task's candidates."""
        asked = ({"budget_ms": None, **candidate.model_dump()} for candidate in self.task(options).candidates())
        return tuple(self.settings(options.model_copy(update=fields)) for fields in asked)

    @property
    def labels_pixels(self) -> bool:
        """Whether its maps are probabilities of pixels, from a network that learned masks."""
        return self.method == "pixels"

    def input_side(self, options: Options) -> int | None:
        """At which long side the network sees a photo at most; None: it is squashed to height x width."""
        return options.max_side or (TILED_SIDE if options.tile else self.preprocessing.max_side)

    def _view(self, options: Options) -> dict[str, Any]:
        """How large the network sees the photo, and whether piece by piece."""
        if self.labels_pixels:
            return {"max_side": self.input_side(options), "tile": bool(options.tile)}
        for name in ("max_side", "tile"):
            value = getattr(options, name)
            if value is not None:
                raise OptionValueError(
                    f"{value} means nothing to {self.name}, which makes {self.method} maps of the photo at one size.",
                    field=name,
                    remedy="Send no such option, or ask a model whose method is pixels.",
                )
        return {}

    def _subtracted(self, options: Options) -> int | None:
        if options.subtract_classes is None:
            return self.subtract_classes
        if self.subtract_classes is None:
            raise OptionValueError(
                f"{self.name} makes {self.method} maps, from which no classes are subtracted.",
                field="subtract_classes",
                remedy="Leave it out, or ask a dcsm model.",
            )
        competing = int(self.vocabulary().rankable().sum())
        if options.subtract_classes >= competing:
            raise OptionValueError(
                f"{options.subtract_classes} classes cannot be subtracted from one of {competing}.",
                field="subtract_classes",
                remedy=f"Send a whole number from 0 to {min(competing - 1, MAX_RIVALS)}.",
            )
        return options.subtract_classes

    def to_yaml(self, serving: dict[str, Any] | None = None) -> str:
        """TorchServe's model-config.yaml: its own keys (minWorkers, batchSize ...), then the card under ``weakseg``."""
        document = {**(serving or {}), CARD_KEY: self.model_dump(mode="json")}
        return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def _implied_refine(options: Options, refine: Refine) -> Refine:
    """The steps for which an option was sent. ``sigma`` adds to the card's; options of another step replace the rest.

    So ``threshold`` is GrabCut's where a GrabCut mode is sent, whatever the card does by default.
    """
    guides, has_crf, cuts = (options.asks_for(step) for step in ("guided", "crf", "grabcut"))
    if not (guides or has_crf or cuts):
        guides, has_crf, cuts = refine.guides, refine.has_crf, refine.cuts
    smooths = refine.smooths or options.asks_for("gaussian")
    return Refine.of(smooths=smooths, guides=guides, has_crf=has_crf, cuts=cuts)


def _choose_guided(options: Options, guided: GuidedSettings) -> GuidedSettings:
    return GuidedSettings(radius=options.guided_radius or guided.radius, eps=options.guided_eps or guided.eps)


def _choose_crf(options: Options, crf: CrfSettings) -> CrfSettings:
    sent = {name: getattr(options, f"crf_{name}") for name in CrfSettings.model_fields}
    return crf.model_copy(update={name: value for name, value in sent.items() if value is not None})


def _choose_cut(options: Options, task: Task, refine: Refine) -> dict[str, Any]:
    """Threshold, and GrabCut's engine, mode, levels and iterations.

    With a CRF ``threshold`` is the CRF's; else it is GrabCut's, if that runs; else the map is cut at it.
    """
    asked = options.threshold
    threshold = task.threshold_of(refine) if asked is None else asked
    if not refine.cuts:
        return {"threshold": threshold}
    mode = options.grabcut_mode or (task.crf_levels if refine.has_crf else task.grabcut_mode)
    cut = {
        "grabcut_engine": options.grabcut_engine or task.grabcut_engine,
        "iterations": options.iterations or task.iterations,
        "threshold": threshold if refine.has_crf else None,
    }
    asked = None if refine.has_crf else asked
    if isinstance(mode, GrabCutMode):
        t = task.mode_thresholds[mode] if asked is None else asked
        return {**cut, "grabcut_mode": mode, "levels": mode.levels(t), "threshold": threshold if refine.has_crf else t}
    levels = mode if asked is None else (min(mode[0], asked), asked, max(mode[2], asked))  # moves the middle
    return {**cut, "grabcut_mode": levels, "levels": levels}


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
