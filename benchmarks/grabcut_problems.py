"""Real cuts: VOC photos with seeds from the default model's maps and from boxes, and scikit-image's photos."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import skimage.data
from numpy.typing import NDArray

from weakseg.evaluation.counting import VOC_VALUES
from weakseg.evaluation.voc import Sample
from weakseg.options import Levels, Options
from weakseg.pipeline import Pipeline
from weakseg.refine.grabcut import SeedMap, box_seeds, can_cut, digitise_map
from weakseg.types import Box, Geometry, Mask, Rgb
from weakseg.voc import ANIMALS, VOID

MAP, BOX = "map", "box"


@dataclass(frozen=True, slots=True)
class CutProblem:
    """One photo to cut.

    Attributes:
        truth: (H, W), or None where nobody knows it.
        valid: (H, W), False where the truth is void.
    """

    kind: str  # MAP or BOX
    rgb: Rgb  # (H, W, 3)
    seeds: SeedMap  # (H, W)
    truth: Mask | None = None
    valid: Mask | None = None

    def score(self, mask: Mask) -> float | None:
        """IoU with the truth."""
        if self.truth is None or self.valid is None:
            return None
        return overlap(mask & self.valid, self.truth & self.valid)


def overlap(first: Mask, second: Mask) -> float:
    """IoU; of two empty masks 1."""
    union = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union if union else 1.0


def cut_otherwise(problem: CutProblem, iterations: int) -> Mask:
    """OpenCV's mask, its random generator begun elsewhere than the service begins it."""
    cv2.setRNGSeed(1)
    state = problem.seeds.copy()
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(problem.rgb, state, (0, 0, 0, 0), *models, iterations, cv2.GC_INIT_WITH_MASK)
    return (state & 1).astype(bool)


def read_problems(pipeline: Pipeline, samples: Iterable[Sample], long_side: int) -> Iterator[CutProblem]:
    """A cut from the map and one from the box of each photo's first animal, the photo enlarged or shrunk.

    Map levels are the card's for the photo task; boxes are naked: outside background, inside perhaps object.
    """
    levels = pipeline.card.settings(Options(refine="grabcut")).levels
    assert levels is not None
    for sample in samples:
        rgb, values = sample.read(pipeline.limits)
        name = next((name for name in ANIMALS if (values == VOC_VALUES[name]).any()), None)
        if name is not None:
            boxes = [labelled.box for labelled in sample.boxes if labelled.name == name]
            problems = make_problems(pipeline, rgb, values, name, boxes[:1], levels, long_side)
            yield from (problem for problem in problems if can_cut(problem.seeds))


def make_problems(
    pipeline: Pipeline,
    rgb: Rgb,
    values: NDArray[np.uint8],
    name: str,
    boxes: Sequence[Box],
    levels: Levels,
    long_side: int,
) -> Iterator[CutProblem]:
    plan = pipeline.plan(rgb, Options(classes=(name,)))
    class_map = pipeline.forward([plan])[0].maps[0, 0]  # (h', w')
    from_hw = (rgb.shape[0], rgb.shape[1])
    scaled = scale_photo(rgb, long_side)
    hw = (scaled.shape[0], scaled.shape[1])
    values = cv2.resize(values, hw[::-1], interpolation=cv2.INTER_NEAREST).astype(np.uint8)  # (H, W)
    truth, valid = values == VOC_VALUES[name], values != VOID
    yield CutProblem(MAP, scaled, digitise_map(Geometry(hw).restore(class_map), levels), truth, valid)
    for box in boxes:
        work_box = box.scaled(from_hw=from_hw, to_hw=hw)
        inside = np.zeros(hw, bool)
        inside[work_box.slices] = truth[work_box.slices]
        yield CutProblem(BOX, scaled, box_seeds(hw, work_box), inside, valid)


def sample_problems(long_side: int) -> Iterator[CutProblem]:
    """Photos that are not from VOC: boxes, drawn by hand, in scikit-image's."""
    for rgb, box in (
        (skimage.data.chelsea(), Box(90, 20, 420, 290)),
        (skimage.data.astronaut(), Box(20, 5, 420, 505)),
        (skimage.data.coffee(), Box(120, 40, 520, 330)),
    ):
        scaled = scale_photo(rgb, long_side)
        hw = (scaled.shape[0], scaled.shape[1])
        yield CutProblem(BOX, scaled, box_seeds(hw, box.scaled(from_hw=rgb.shape[:2], to_hw=hw)))


def scale_photo(rgb: Rgb, long_side: int) -> Rgb:
    scale = long_side / max(rgb.shape[:2])
    if scale == 1:
        return rgb
    size_wh = (round(rgb.shape[1] * scale), round(rgb.shape[0] * scale))
    way = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    return np.ascontiguousarray(cv2.resize(rgb, size_wh, interpolation=way), np.uint8)
