"""Real CRF problems: VOC photos, with unaries as a weak and as a strong network give them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from weakseg.archive import open_archive
from weakseg.card import CrfSettings
from weakseg.evaluation.counting import VOC_VALUES
from weakseg.evaluation.voc import Sample, read_split
from weakseg.options import Options
from weakseg.pipeline import Pipeline
from weakseg.refine.bench import shrink_to_side
from weakseg.refine.crf import unary_logits
from weakseg.refine.densecrf.problem import CrfProblem, Kernels
from weakseg.runtime import open_runtime
from weakseg.types import Geometry, Rgb
from weakseg.voc import ANIMALS, VOC_CLASSES, VOID

LABELS = len(VOC_CLASSES) + 1
TRUST = 0.7  # in a noisy mask's label
SOFT = 0.02  # sigma of a soft mask's borders, a fraction of the long side
SURELY_NOT = 1e-4  # least probability in a soft mask
WRONG = 0.25  # share of a noisy mask's pixels whose label is drawn at random

ONE_CLASS = "2 labels, one class's map"
ALL_CLASSES = "21 labels, maps of all classes"
NOISY_MASK = "21 labels, noisy mask"
FEW_PRESENT = "21 labels, few present"
UNARIES = (ONE_CLASS, ALL_CLASSES, NOISY_MASK, FEW_PRESENT)


@dataclass(frozen=True, slots=True)
class Setting:
    """One choice of kernels and steps.

    Attributes:
        crf: Relative to the long side; None: pydensecrf's customary kernels in pixels.
        side: Photos are shrunk to this long side; None: they are not.
    """

    name: str
    crf: CrfSettings | None
    side: int | None

    def kernels(self, hw: tuple[int, int]) -> tuple[Kernels, int]:
        """And steps."""
        return (Kernels(3, 3, 80, 13, 10), 10) if self.crf is None else (Kernels.at_size(self.crf, hw), self.crf.steps)

    def describe(self) -> str:
        long_side = self.side or 500
        kernels, steps = self.kernels((long_side * 3 // 4, long_side))
        return f"{kernels} at a long side of {long_side}, {steps} steps"


@dataclass(frozen=True, slots=True)
class Photo:
    rgb: Rgb
    truth: NDArray[np.uint8]  # (H, W) in [0, 20] or VOID
    value: int  # of the class that its one map is of
    class_map: NDArray[np.float32]  # (h', w')
    all_maps: NDArray[np.float32]  # (20, h', w')
    scores: NDArray[np.float32]  # (20,)

    def problem(self, unary: str, setting: Setting, *, confidence: float, threshold: float) -> CrfProblem:
        rgb = self.rgb if setting.side is None else shrink_to_side(self.rgb, setting.side)
        hw = (rgb.shape[0], rgb.shape[1])
        kernels, steps = setting.kernels(hw)
        if unary == NOISY_MASK:
            return CrfProblem(self._noisy_logits(hw), rgb, kernels, steps)
        if unary == FEW_PRESENT:
            return CrfProblem(self._soft_logits(hw), rgb, kernels, steps)
        maps, scores = (self.class_map[None], [1.0]) if unary == ONE_CLASS else (self.all_maps, self.scores.tolist())
        restored = np.stack([Geometry(self.rgb.shape[:2]).restore(one, hw=hw) for one in maps])  # (K, H, W)
        return CrfProblem(
            unary_logits(restored, scores, confidence=confidence, threshold=threshold), rgb, kernels, steps
        )

    def truth_at(self, hw: tuple[int, int]) -> NDArray[np.uint8]:
        return cv2.resize(self.truth, hw[::-1], interpolation=cv2.INTER_NEAREST).astype(np.uint8)

    def _noisy_logits(self, hw: tuple[int, int]) -> NDArray[np.float32]:
        """As pydensecrf's ``unary_from_labels``: TRUST in a label, the rest evenly spread; void is anything."""
        rng, truth = np.random.default_rng(self.rgb.size), self.truth_at(hw)
        labels = np.where(rng.random(hw) < WRONG, rng.integers(LABELS, size=hw), truth)
        logits = np.full((LABELS, *hw), np.log((1 - TRUST) / (LABELS - 1)), np.float32)
        np.put_along_axis(logits, np.minimum(labels, LABELS - 1)[None], np.float32(np.log(TRUST)), 0)
        logits[:, labels == VOID] = 0  # anything
        return logits  # (21, H, W)

    def _soft_logits(self, hw: tuple[int, int]) -> NDArray[np.float32]:
        """As of a network that learned from masks: sure inside objects, soft at borders, others at SURELY_NOT."""
        truth = self.truth_at(hw)
        parts = np.stack(
            [cv2.GaussianBlur(np.float32(truth == label), (0, 0), SOFT * max(hw)) for label in range(LABELS)]
        )
        return np.log(np.maximum(parts, np.float32(SURELY_NOT)))  # (21, H, W)


def open_photos(model: Path, voc: Path, split: str, count: int) -> tuple[Pipeline, list[Sample]]:
    """The model that makes the unaries, and so many photos, evenly spread over the split."""
    archive = open_archive(model)
    pipeline = Pipeline(archive.card, open_runtime(archive.card, archive.read_file))
    samples = read_split(voc, split)
    return pipeline, [samples[at] for at in np.linspace(0, len(samples) - 1, min(count, len(samples))).astype(int)]


def read_photos(pipeline: Pipeline, samples: Sequence[Sample]) -> Iterator[Photo]:
    """Photos that show an animal, with the maps of the largest one's class and of all 20 classes.

    Known tags for the one map, as in `weakseg evaluate`; the scores of the network for the twenty.
    """
    for sample in samples:
        rgb, truth = sample.read(pipeline.limits)
        value = max((VOC_VALUES[name] for name in ANIMALS), key=lambda value: np.count_nonzero(truth == value))
        if (truth == value).any():
            (one,) = pipeline.forward([pipeline.plan(rgb, Options(classes=(VOC_CLASSES[value - 1],)))])
            (every,) = pipeline.forward([pipeline.plan(rgb, Options(classes=VOC_CLASSES))])
            yield Photo(rgb, truth, value, one.maps[0, 0], every.maps[0], every.scores[0][every.chosen[0]])
