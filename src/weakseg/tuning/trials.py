"""One photo, refined at many points of the grid, to counts of pixels."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weakseg.card import ModelCard
from weakseg.codec.decode import Limits
from weakseg.evaluation.counting import VOC_VALUES
from weakseg.evaluation.metrics import count_pixels
from weakseg.evaluation.voc import Sample
from weakseg.options import Refine
from weakseg.refine.claims import claims_of
from weakseg.refine.gaussian import smooth_map
from weakseg.refine.refine import refine_maps
from weakseg.tuning.grid import Point, key_of, settings_of
from weakseg.tuning.maps import ClassMap
from weakseg.types import Geometry, Mask, Rgb
from weakseg.voc import VOID

Counts = dict[str, list[int]]  # class -> TP, FP, FN, TN


@dataclass(slots=True)
class Trial:
    """What one photo adds to some points of the grid; JSON-ready."""

    image: str  # the number of the stage, and the photo
    counts: dict[str, Counts]  # point -> class -> TP, FP, FN, TN
    times_ms: dict[str, list[float]]  # point -> processor time of each mask; none where thresholds share one pass

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def name_trial(stage: int, sample: Sample) -> str:
    return f"{stage} {sample.image_id}"


def try_points(
    card: ModelCard, refine: Refine, sample: Sample, maps: Mapping[str, ClassMap], points: Sequence[Point], stage: int
) -> Trial:
    """Refine every map of one photo at every point, as the service would.

    Args:
        maps: VOC class to its map, of the classes that the photo shows.
        points: Of the grid of ``refine``.
    Raises:
        DataError: the photo or its mask cannot be read.
    """
    rgb, truth = sample.read(Limits())
    trial = Trial(name_trial(stage, sample), {key_of(point): {} for point in points}, {})
    for name, class_map in maps.items():
        true, valid = truth == VOC_VALUES[name], truth != VOID
        if refine in (Refine.NONE, Refine.GAUSSIAN):
            counted = list(_count_thresholds(class_map, points, true, valid))
        else:
            masks = _refine_each(card, refine, rgb, class_map, points, trial.times_ms)
            counted = [count_pixels(true, mask, valid) for mask in masks]
        for point, counts in zip(points, counted, strict=True):
            trial.counts[key_of(point)][name] = counts
    return trial


def _refine_each(
    card: ModelCard,
    refine: Refine,
    rgb: Rgb,
    class_map: ClassMap,
    points: Sequence[Point],
    times_ms: dict[str, list[float]],
) -> Iterable[Mask]:
    """(H, W) of each point."""
    geometry = Geometry((rgb.shape[0], rgb.shape[1]))
    for point in points:
        settings = settings_of(card, refine, point)
        started = time.process_time()
        refined = refine_maps(
            rgb,
            class_map[None],
            geometry,
            settings,
            ("",),
            (1.0,),
            box=None,
            context=None,
            sides=card.sides,
            claims=claims_of(labels_pixels=card.labels_pixels),
        )
        times_ms.setdefault(key_of(point), []).append(round((time.process_time() - started) * 1000, 2))
        yield refined.label_map == 1


def _count_thresholds(class_map: ClassMap, points: Sequence[Point], true: Mask, valid: Mask) -> Iterable[list[int]]:
    """TP, FP, FN, TN at each point; all thresholds of one sigma in one pass over the pixels."""
    thresholds = np.unique(np.array([point["threshold"] for point in points], np.float32))  # (T,) ascending
    sigmas = dict.fromkeys(point.get("sigma") for point in points)
    counted = {
        sigma: _count_levels(_restore(class_map, sigma, true.shape), thresholds, true, valid) for sigma in sigmas
    }
    for point in points:
        row = int(np.searchsorted(thresholds, np.float32(point["threshold"])))  # type: ignore[arg-type]
        yield counted[point.get("sigma")][row].tolist()


def _restore(class_map: ClassMap, sigma: Any, hw: tuple[int, ...]) -> NDArray[np.float32]:
    """(h', w') to (H, W)."""
    photo_hw = (hw[0], hw[1])
    return Geometry(photo_hw).restore(class_map if sigma is None else smooth_map(class_map, sigma, photo_hw))


def _count_levels(
    values: NDArray[np.float32], thresholds: NDArray[np.float32], true: Mask, valid: Mask
) -> NDArray[np.int64]:
    """(T, 4): TP, FP, FN, TN of ``threshold_map`` at each threshold, from two histograms.

    Args:
        values: (H, W) float32.
        thresholds: (T,) ascending.
    """
    levels = np.searchsorted(thresholds, values, side="right")  # (H, W): how many thresholds a pixel reaches
    levels[values <= 0] = 0
    bins = len(thresholds) + 1
    reached = [np.bincount(levels[part], minlength=bins)[::-1].cumsum()[::-1] for part in (valid & true, valid & ~true)]
    (hits, true_pixels), (alarms, other_pixels) = ((counts[1:], counts[0]) for counts in reached)
    return np.stack([hits, alarms, true_pixels - hits, other_pixels - alarms], 1)  # (T, 4)
