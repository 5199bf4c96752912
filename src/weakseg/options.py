"""What a caller may ask for: names, types, ranges, and the words that explain a wrong value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from weakseg.choices import STEPS, CrfEngineName, Format, GrabCutEngine, GrabCutMode, Levels, Pick, Refine
from weakseg.errors import OptionValueError, UnknownOptionError
from weakseg.option_values import (
    MAX_CLASSES,
    check_levels,
    read_box,
    read_classes,
    read_mode,
    read_name,
    read_steps,
    refuse_bool,
)
from weakseg.types import Box

__all__ = [  # names of choices come from here, beside the options
    "STEPS",
    "CrfEngineName",
    "Format",
    "GrabCutEngine",
    "GrabCutMode",
    "Levels",
    "Options",
    "Pick",
    "Refine",
    "check_levels",
    "parse_options",
]

MAX_CUTS = 40  # masks x GrabCut iterations per request: a few seconds on one core

MAX_RIVALS = 20  # classes subtracted per request: each costs a backward pass
MAX_PASSES = 25  # masks + classes subtracted: for VGG16 at 512 pixels some 2 s each, and a worker has 120 s to answer
MAX_CRF_STEPS = 50
LEAST_CRF_SMOOTH_SIGMA = 0.002  # a pixel at 500; narrower kernels see no neighbour, and cost more
LEAST_CRF_COLOUR_SIGMA = 0.005
LEAST_CRF_COLOUR_RGB = 1.0
# Masks x CRF steps per request. Noise of 500 x 500 pixels at the narrowest kernels, on one core: 4 masks in 50 steps
# take 11.5 CPU-seconds (20 in 10: 7.8), some 2.9 of them for setting up the lattices, whatever the masks and the steps.
MAX_CRF_WORK = 200
MAX_BUDGET_MS = 60_000.0
LEAST_SIDE = 32
MAX_SIDE = 1024  # of one forward pass: VGG16 at 1024 x 1024 pixels keeps some 600 MB of feature maps
MAX_TILED_SIDE = 4096
TILED_SIDE = 2048  # where a request asks for tiles and for no size, and so many tiles are not too many
AUTO: Final = "auto"  # refine=auto: whatever fits the budget


def _number(description: str, remedy: str, **limits: Any) -> Any:
    """The field of a finite number."""
    return Field(description=description, allow_inf_nan=False, json_schema_extra={"remedy": remedy}, **limits)


def _whole(description: str, remedy: str, **limits: Any) -> Any:
    """The field of a whole number."""
    return Field(description=description, json_schema_extra={"remedy": remedy}, **limits)


class Options(BaseModel):
    """The options of one request as sent; None means: as the model card says."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    classes: Annotated[
        tuple[str, ...],
        BeforeValidator(read_classes),
        Field(
            description="Names or numbers, comma separated (`dog`, `Chihuahua`, `151`); `auto`: the best-scoring "
            "label(s); `none` with a box: GrabCut alone, without the network.",
            json_schema_extra={
                "remedy": f"Send 1 to {MAX_CLASSES} class names or numbers, comma separated, or 'auto' or 'none'."
            },
        ),
    ] = ("auto",)
    pick: Annotated[
        Pick,
        BeforeValidator(read_name),
        Field(
            description="Of several `classes`: `all`: one mask each; `best`: only the one that scores best, for "
            "photos that show one of a known set.",
            json_schema_extra={"remedy": "Send one of: all, best."},
        ),
    ] = Pick.ALL
    refine: Annotated[
        Refine | Literal["auto"] | None,
        BeforeValidator(read_steps),
        Field(
            description="`none`: the map, cut at the threshold; or steps joined by `+` in this order: `gaussian` "
            "(smooth the map), `guided` (guided filter) or `crf` (dense CRF), `grabcut`, such as `gaussian+crf`; or "
            "`auto`: the best that fits `budget_ms`.",
            json_schema_extra={"remedy": f"Send one of: {', '.join(Refine)}, auto."},
        ),
    ] = None
    budget_ms: Annotated[
        float | None,
        BeforeValidator(refuse_bool),
        _number(
            "Milliseconds that `refine=auto` may spend on refinement; sent alone, it asks for `refine=auto`.",
            f"Send a number above 0, and {MAX_BUDGET_MS:.0f} at most.",
            gt=0,
            le=MAX_BUDGET_MS,
        ),
    ] = None
    max_side: Annotated[
        int | None,
        BeforeValidator(refuse_bool),
        _whole(
            f"Models that learned masks: the photo is shrunk to this long side at most, {LEAST_SIDE} to {MAX_SIDE} "
            f"pixels, to {MAX_TILED_SIDE} with `tile`. Masks have the photo's own size all the same.",
            f"Send a whole number from {LEAST_SIDE} to {MAX_SIDE}, or to {MAX_TILED_SIDE} with tile=true.",
            ge=LEAST_SIDE,
            le=MAX_TILED_SIDE,
        ),
    ] = None
    tile: Annotated[
        bool | None,
        BeforeValidator(read_name),
        Field(
            description="Models that learned masks: `true` shows a large photo to the network in overlapping tiles, at "
            f"a long side of `max_side` pixels (where it is not sent {TILED_SIDE}, or what fits one request): finer "
            "borders and small objects, for many times the time.",
            json_schema_extra={"remedy": "Send true or false."},
        ),
    ] = None
    subtract_classes: Annotated[
        int | None,
        BeforeValidator(refuse_bool),
        _whole(
            "DCSM models: how many of the best-scoring other labels are subtracted from each map.",
            f"Send a whole number from 0 to {MAX_RIVALS}.",
            ge=0,
            le=MAX_RIVALS,
        ),
    ] = None
    sigma: Annotated[
        float | None,
        BeforeValidator(refuse_bool),
        _number(
            "Of the Gaussian, as a fraction of the photo's long side, up to 0.2.",
            "Send a number above 0, and 0.2 at most.",
            gt=0,
            le=0.2,
        ),
    ] = None
    guided_radius: Annotated[
        float | None,
        BeforeValidator(refuse_bool),
        _number(
            "Reach of the guided filter, as a fraction of the photo's long side, up to 0.5.",
            "Send a number above 0, and 0.5 at most.",
            gt=0,
            le=0.5,
        ),
    ] = None
    guided_eps: Annotated[
        float | None,
        BeforeValidator(refuse_bool),
        _number(
            "How much colour may vary (variance, colours in [0, 1]) where the guided filter still smooths.",
            "Send a number above 0, and 1 at most.",
            gt=0,
            le=1,
        ),
    ] = None
    crf_engine: Annotated[
        CrfEngineName | None,
        BeforeValidator(read_name),
        Field(
            description="How exactly the CRF is computed: `exact`, `fast`, `fastest`, or `pydensecrf` (the reference, "
            "many times slower, where it is installed).",
            json_schema_extra={"remedy": f"Send one of: {', '.join(CrfEngineName)}."},
        ),
    ] = None
    crf_steps: Annotated[
        int | None,
        BeforeValidator(refuse_bool),
        _whole(
            f"Mean-field steps of the CRF, 1 to {MAX_CRF_STEPS}.",
            f"Send a whole number from 1 to {MAX_CRF_STEPS}.",
            ge=1,
            le=MAX_CRF_STEPS,
        ),
    ] = None
    crf_confidence: Annotated[
        float | None,
        BeforeValidator(refuse_bool),
        _number(
            "How steeply the CRF's unary rises with the map, a in sigmoid(a (map - threshold)).",
            "Send a number above 0, and 200 at most.",
            gt=0,
            le=200,
        ),
    ] = None
    crf_smooth_sigma: Annotated[
        float | None,
        BeforeValidator(refuse_bool),
        _number(
            f"Reach of the CRF's smoothness kernel, as a fraction of the long side, {LEAST_CRF_SMOOTH_SIGMA} to 1.",
            f"Send a number from {LEAST_CRF_SMOOTH_SIGMA} to 1.",
            ge=LEAST_CRF_SMOOTH_SIGMA,
            le=1,
        ),
    ] = None
    crf_smooth_weight: Annotated[
        float | None,
        BeforeValidator(refuse_bool),
        _number("Weight of the smoothness kernel.", "Send a number from 0 to 100.", ge=0, le=100),
    ] = None
    crf_colour_sigma: Annotated[
        float | None,
        BeforeValidator(refuse_bool),
        _number(
            f"Reach of the CRF's appearance kernel, as a fraction of the long side, {LEAST_CRF_COLOUR_SIGMA} to 1.",
            f"Send a number from {LEAST_CRF_COLOUR_SIGMA} to 1.",
            ge=LEAST_CRF_COLOUR_SIGMA,
            le=1,
        ),
    ] = None
    crf_colour_rgb: Annotated[
        float | None,
        BeforeValidator(refuse_bool),
        _number(
            "Width of the appearance kernel in colour, 1 to 255 grey levels.",
            "Send a number from 1 to 255.",
            ge=LEAST_CRF_COLOUR_RGB,
            le=255,
        ),
    ] = None
    crf_colour_weight: Annotated[
        float | None,
        BeforeValidator(refuse_bool),
        _number("Weight of the appearance kernel.", "Send a number from 0 to 100.", ge=0, le=100),
    ] = None
    grabcut_mode: Annotated[
        GrabCutMode | Levels | None,
        BeforeValidator(read_mode),
        Field(
            description="How the map becomes GrabCut's four levels: `pf_pb`, `f_pf`, `f_pb` (by `threshold`), or "
            "`t0,t1,t2`: below t0 sure background, below t1 probable background, below t2 probable foreground.",
            json_schema_extra={"remedy": "Send pf_pb, f_pf, f_pb, or t0,t1,t2 with 0 <= t0 <= t1 <= t2 <= 1."},
        ),
    ] = None
    grabcut_engine: Annotated[
        GrabCutEngine | None,
        BeforeValidator(read_name),
        Field(
            description="`fast`: GrabCut from coarse to fine; `opencv`: OpenCV's, the original.",
            json_schema_extra={"remedy": f"Send one of: {', '.join(GrabCutEngine)}."},
        ),
    ] = None
    iterations: Annotated[
        int | None,
        BeforeValidator(refuse_bool),
        Field(
            ge=1,
            le=20,
            description="GrabCut iterations, 1 to 20.",
            json_schema_extra={"remedy": "Send a whole number from 1 to 20."},
        ),
    ] = None
    threshold: Annotated[
        float | None,
        BeforeValidator(refuse_bool),
        Field(
            ge=0,
            le=1,
            allow_inf_nan=False,
            description="Where the map is cut, or where the CRF is undecided, in [0, 1].",
            json_schema_extra={"remedy": "Send a number from 0 to 1."},
        ),
    ] = None
    box: Annotated[
        Box | None,
        BeforeValidator(read_box),
        Field(
            description="`x0,y0,x1,y1` in pixels of the upright photo, x1 and y1 exclusive: the object is inside.",
            json_schema_extra={"remedy": "Send x0,y0,x1,y1 in pixels with x0 < x1 and y0 < y1, inside the photo."},
        ),
    ] = None
    format: Annotated[
        Format | None,
        BeforeValidator(read_name),
        Field(
            description="`mask` (indexed PNG), `cutout` (RGBA PNG), `overlay`, `heatmap` (PNG), `json`, `npz`.",
            json_schema_extra={"remedy": f"Send one of: {', '.join(Format)}."},
        ),
    ] = None

    @property
    def is_auto(self) -> bool:
        """Whether the refinement is to be chosen by what it costs."""
        return self.refine == AUTO or (self.refine is None and self.budget_ms is not None)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.max_side is not None and self.max_side > MAX_SIDE and not self.tile:
            raise ValueError(
                f"max_side: {self.max_side} pixels are too many for one look.|Send {MAX_SIDE} at most, or tile=true."
            )
        if self.classes == ("none",):
            self._check_naked()
        elif self.is_auto:
            self._check_auto()
        elif self.refine is not None:
            self._check_steps()
        elif self.asks_for("guided") and self.asks_for("crf"):
            name = self._sent("guided")[0]
            raise ValueError(f"{name}: a guided filter and a CRF exclude each other.|Send options of one of the two.")
        feeds_crf = self.asks_for("crf") or (isinstance(self.refine, Refine) and self.refine.has_crf)
        if isinstance(self.grabcut_mode, tuple) and self.threshold is not None and not feeds_crf:
            raise ValueError("threshold: grabcut_mode=t0,t1,t2 sets every level already.|Send one of the two.")
        return self

    def _check_naked(self) -> None:
        """classes=none: GrabCut alone."""
        if self.box is None:
            raise ValueError("classes: 'none' means GrabCut alone, which needs a box.|Send box=x0,y0,x1,y1 too.")
        if self.refine not in (None, Refine.GRABCUT):
            raise ValueError(f"refine: classes=none is GrabCut alone, not {self.refine}.|Send refine=grabcut.")
        of_maps = [name for step in ("gaussian", "guided", "crf") for name in STEP_OPTIONS[step]]
        for name in ("budget_ms", "grabcut_mode", "threshold", "subtract_classes", "max_side", "tile", *of_maps):
            if getattr(self, name) is not None:
                raise ValueError(f"{name}: classes=none has no map to apply it to.|Send classes, or leave it out.")

    def _check_auto(self) -> None:
        """refine=auto: steps and settings are the card's."""
        for name in ("threshold", *(name for step in STEPS for name in STEP_OPTIONS[step])):
            if getattr(self, name) is not None:
                raise ValueError(
                    f"{name}: refine=auto chooses the steps and their settings.|Send a refine other than auto, without "
                    "budget_ms, or leave it out."
                )

    def _check_steps(self) -> None:
        """No option of a step that does not run."""
        if self.budget_ms is not None:
            raise ValueError(f"budget_ms: refine={self.refine} takes the time it takes.|Send refine=auto.")
        for step in STEPS:
            if step not in str(self.refine) and (sent := self._sent(step)):
                raise ValueError(
                    f"{sent[0]}: refine={self.refine} does not run {step}."
                    f"|Send a refine with {step}, such as refine={step}."
                )

    def asks_for(self, step: str) -> bool:
        """Whether an option of this step of refinement was sent."""
        return bool(self._sent(step))

    def _sent(self, step: str) -> list[str]:
        return [name for name in STEP_OPTIONS[step] if getattr(self, name) is not None]


STEP_OPTIONS: dict[str, tuple[str, ...]] = {
    "gaussian": ("sigma",),
    "guided": tuple(name for name in Options.model_fields if name.startswith("guided_")),
    "crf": tuple(name for name in Options.model_fields if name.startswith("crf_")),
    "grabcut": ("grabcut_engine", "grabcut_mode", "iterations"),
}
OPTION_NAMES: tuple[str, ...] = tuple(Options.model_fields)


def parse_options(raw: Mapping[str, Any]) -> Options:
    """Check options as they arrived (text, or values of a JSON body; null means not sent).

    Raises:
        UnknownOptionError: a name that is not an option.
        OptionValueError: a value of the wrong type or range, or two options that contradict each other.
    """
    for name in raw:
        if name not in OPTION_NAMES:
            shown = str(name)[:80]
            raise UnknownOptionError(
                f"{shown!r} is not an option.",
                field=shown or "options",
                remedy=f"Options: {', '.join(OPTION_NAMES)}. The picture goes into 'image'.",
            )
    try:
        return Options.model_validate({name: value for name, value in raw.items() if value is not None})
    except ValidationError as error:
        raise _as_option_error(error, raw) from error


def _as_option_error(error: ValidationError, raw: Mapping[str, Any]) -> OptionValueError:
    first = error.errors()[0]
    if not first["loc"]:  # from _consistent: "field: message|remedy"
        text = str(first["ctx"]["error"])
        name, _, rest = text.partition(": ")
        message, _, remedy = rest.partition("|")
        return OptionValueError(message, field=name, remedy=remedy)
    name = str(first["loc"][0])
    extra = Options.model_fields[name].json_schema_extra
    remedy = str(extra["remedy"]) if isinstance(extra, dict) else ""
    reason = first["msg"].removeprefix("Value error, ")
    reason = reason[:1].lower() + reason[1:]
    return OptionValueError(f"{_shown(raw[name])} is not valid: {reason}.", field=name, remedy=remedy)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
