"""What is tuned: the parameters of each refinement, their values, and the card that a choice of them makes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from pydantic import ValidationError

from weakseg.card import CrfSettings, ModelCard, Settings, Task
from weakseg.errors import DataError
from weakseg.options import Levels, Options, Refine

Value: TypeAlias = float | Levels
Point: TypeAlias = Mapping[str, Value]  # parameter to value

STEPS = "steps"  # chosen last, by time too
_PHOTO_LEVELS = ((0.02, 0.5, 0.98), (0.05, 0.5, 0.95), (0.1, 0.5, 0.9), (0.2, 0.5, 0.8), (0.0, 0.5, 1.0))
_CRF_VALUES: Mapping[str, tuple[Value, ...]] = {
    "threshold": tuple(percent / 100 for percent in range(10, 81, 2)),
    "confidence": (3, 5, 7, 10, 14, 20, 28),
    "colour_rgb": (3, 4, 6, 8, 11, 15, 20),
    "colour_sigma": (0.02, 0.04, 0.07, 0.1, 0.15, 0.25, 0.4),
    "colour_weight": (1, 2, 3.5, 5, 7, 10),
    "smooth_weight": (0, 1, 3, 6, 10),
    "smooth_sigma": (0.003, 0.006, 0.012, 0.025),
    STEPS: (1, 2, 3, 5, 7, 10),
}
_GUIDED_VALUES: Mapping[str, tuple[Value, ...]] = {
    "threshold": _CRF_VALUES["threshold"],
    "radius": (0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.12),
    "eps": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
}
_SIGMAS = (0.005, 0.01, 0.02, 0.03, 0.045, 0.06, 0.08)
_FINE_THRESHOLDS = tuple(percent / 100 for percent in range(1, 100))


@dataclass(frozen=True, slots=True)
class Axis:
    """One parameter and the values that may be tried, ascending."""

    name: str
    values: tuple[Value, ...]


def threshold_axes(refine: Refine) -> tuple[Axis, ...]:
    """Of refine=none and gaussian: every hundredth, and every sigma."""
    sigmas = (Axis("sigma", _SIGMAS),) if refine.smooths else ()
    return (*sigmas, Axis("threshold", _FINE_THRESHOLDS))


def crf_axes(refine: Refine) -> tuple[Axis, ...]:
    """Of a refinement with a CRF, in the order in which they are searched."""
    sigmas = (Axis("sigma", _SIGMAS),) if refine.smooths else ()
    levels = (Axis("levels", _PHOTO_LEVELS),) if refine.cuts else ()
    return (*sigmas, *(Axis(name, values) for name, values in _CRF_VALUES.items()), *levels)


def guided_axes(refine: Refine) -> tuple[Axis, ...]:
    """Of a refinement with a guided filter and without GrabCut, in the order in which they are searched."""
    sigmas = (Axis("sigma", _SIGMAS),) if refine.smooths else ()
    return (*sigmas, *(Axis(name, values) for name, values in _GUIDED_VALUES.items()))


def read_values(path: Path, axes: Sequence[Axis]) -> tuple[Axis, ...]:
    """The axes with the values of a YAML file: ``{confidence: [7, 10], steps: [5]}``; one value fixes a parameter.

    Raises:
        DataError: the file is no such list, or names another parameter.
    """
    try:
        given = {
            str(name): tuple(tuple(value) if isinstance(value, list) else value for value in values)
            for name, values in yaml.safe_load(path.read_text(encoding="utf-8")).items()
        }
    except (OSError, yaml.YAMLError, AttributeError, TypeError) as error:
        raise DataError(f"{path} cannot be read as a grid: {error}. Write {{confidence: [7, 10]}}.") from error
    names = [axis.name for axis in axes]
    if unknown := [name for name, values in given.items() if name not in names or not values]:
        raise DataError(f"{path}: {', '.join(unknown)}: give values for {', '.join(names)}.")
    return tuple(Axis(axis.name, tuple(sorted(given[axis.name]))) if axis.name in given else axis for axis in axes)


def starting_point(card: ModelCard, refine: Refine, axes: Iterable[Axis]) -> Point:
    """The values that the card has now, or the nearest ones of an axis that does not have them."""
    task = card.photo_task
    now: dict[str, Value] = {
        **task.crf.model_dump(),
        **task.guided.model_dump(),
        "sigma": task.sigma,
        "threshold": task.threshold_of(refine),
        "levels": task.crf_levels,
    }
    return {axis.name: min(axis.values, key=lambda value: _distance(value, now[axis.name])) for axis in axes}


def _distance(value: Value, other: Value) -> float:
    pairs = zip(_as_tuple(value), _as_tuple(other), strict=True)
    return sum(abs(one - two) for one, two in pairs)


def _as_tuple(value: Value) -> tuple[float, ...]:
    return value if isinstance(value, tuple) else (value,)


def tune_card(card: ModelCard, refine: Refine, point: Point) -> ModelCard:
    """The card whose default for whole photos is ``refine`` with the point's values.

    Raises:
        DataError: a value that no card may have.
    """
    task = card.photo_task
    found: dict[str, Any] = {"refine": refine}
    found["crf"] = {
        **task.crf.model_dump(),
        **{name: point[name] for name in CrfSettings.model_fields if name in point},
    }
    found["guided"] = {name: point.get(name, now) for name, now in task.guided.model_dump().items()}
    if refine is Refine.NONE:
        found["threshold"] = point["threshold"]
    if refine is not Refine.NONE or refine in task.refine_thresholds:
        found["refine_thresholds"] = {**task.refine_thresholds, refine: point["threshold"]}
    found |= {"sigma": point["sigma"]} if "sigma" in point else {}
    found |= {"crf_levels": point["levels"]} if "levels" in point else {}
    try:
        return card.model_copy(update={"photo_task": Task.model_validate({**task.model_dump(), **found})})
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"{'.'.join(map(str, first['loc']))} = {first['input']!r:.80}: {first['msg']}.") from error


def settings_of(card: ModelCard, refine: Refine, point: Point) -> Settings:
    """What the tuned card does with a request that asks for nothing."""
    return tune_card(card, refine, point).settings(Options())


def key_of(point: Point) -> str:
    """The name of a point in records: equal for equal points."""
    return json.dumps(point, sort_keys=True)


def show(point: Point) -> str:
    """The point in words."""
    return ", ".join(f"{name} {show_value(value)}" for name, value in point.items())


def show_value(value: Value) -> str:
    return "/".join(f"{number:g}" for number in _as_tuple(value))
