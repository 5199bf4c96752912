"""Which points of a grid are tried, and which one wins."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from weakseg.evaluation.metrics import score
from weakseg.tuning.grid import STEPS, Axis, Point, key_of

Measure = Callable[[Sequence[Point]], Sequence[float]]  # the mIoU of each point, on all photos
STEPS_MARGIN = 0.001  # of mIoU: what a mean-field step less may cost


@dataclass(slots=True)
class Scoreboard:
    """Counts of every point that was tried, photo by photo.

    Args:
        over: N class names.
    """

    over: tuple[str, ...]
    points: dict[str, Point] = field(default_factory=dict)  # by key, in the order in which they were tried
    counts: dict[str, NDArray[np.int64]] = field(default_factory=dict)  # (photos, N, 4)
    times_ms: dict[str, list[float]] = field(default_factory=dict)

    def miou(self, point: Point, photos: NDArray[np.bool_] | None = None) -> float:
        """On all photos, or on those that are marked; 0 where none shows a class."""
        counts = self.counts[key_of(point)]
        chosen = counts if photos is None else counts[photos]
        return score(chosen.sum(axis=0), self.over).miou or 0.0

    def best(self, photos: NDArray[np.bool_] | None = None) -> Point:
        """The best point of all that were tried; of equal ones the first."""
        return max(self.points.values(), key=lambda point: self.miou(point, photos))


def climb(axes: Sequence[Axis], start: Point, measure: Measure, *, rounds: int) -> Point:
    """Coordinate-wise hill climbing: on one axis after the other, on to the next value as long as that is better.

    The axis ``steps`` waits until the end: then the fewest mean-field steps win whose mIoU is within STEPS_MARGIN of
    what the start's number of steps reaches.

    Args:
        axes: In the order of the search.
        start: A value of each axis.
        rounds: Times that all axes are gone through, at most; it ends earlier when a round changes nothing.
    """
    best = start
    measure([start])
    for _ in range(rounds):
        before = best
        for axis in axes:
            if axis.name != STEPS:
                best = _climb_axis(axis, best, measure)
        if best == before:
            break
    return _spare_steps(axes, best, measure)


def _climb_axis(axis: Axis, best: Point, measure: Measure) -> Point:
    """The best point that can be reached from ``best`` without going down, on the steeper side."""
    (reached,) = measure([best])
    here, last = axis.values.index(best[axis.name]), len(axis.values) - 1
    sides = [step for step in (-1, 1) if 0 <= here + step <= last]
    found = dict(zip(sides, measure([_move(best, axis, here + step) for step in sides]), strict=True))
    step = max(sides, key=lambda side: found[side], default=0)
    place = here
    while step and 0 <= place + step <= last:
        (onward,) = measure([_move(best, axis, place + step)])
        if onward <= reached:
            break
        place, reached = place + step, onward
    return _move(best, axis, place)


def _spare_steps(axes: Sequence[Axis], best: Point, measure: Measure) -> Point:
    axis = next((axis for axis in axes if axis.name == STEPS), None)
    if axis is None:
        return best
    (reached,) = measure([best])
    fewer = [_move(best, axis, place) for place in range(axis.values.index(best[STEPS]))]  # ascending
    found = measure(fewer)
    good = [point for point, miou in zip(fewer, found, strict=True) if miou >= reached - STEPS_MARGIN]
    return good[0] if good else best


def _move(point: Point, axis: Axis, place: int) -> Point:
    return {**point, axis.name: axis.values[place]}


def all_points(axes: Sequence[Axis]) -> list[Point]:
    """The whole grid."""
    names = [axis.name for axis in axes]
    return [dict(zip(names, values, strict=True)) for values in itertools.product(*(axis.values for axis in axes))]


def cross_validate(board: Scoreboard, folds: int) -> float:
    """mIoU of the photos of each fold at the point that is best on all other folds.

    Every ``folds``-th photo is in the same fold. The points were found on all photos, so this removes the optimism of
    the last choice among them and not that of the search.
    """
    photos = len(next(iter(board.counts.values())))
    total = np.zeros((len(board.over), 4), np.int64)
    for fold in range(min(folds, photos)):
        held_out = np.arange(photos) % folds == fold  # (photos,)
        total += board.counts[key_of(board.best(~held_out))][held_out].sum(axis=0)
    return score(total, board.over).miou or 0.0
