"""A dense CRF over class maps: the course project's approaches ii and iii (phase 3), for one label or several."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weakseg.card import CrfSettings
from weakseg.errors import ShapeMismatchError
from weakseg.options import CrfEngineName
from weakseg.refine.densecrf.engines import open_engine
from weakseg.refine.densecrf.problem import CrfEngine, CrfProblem, Kernels
from weakseg.types import Box, Maps, Rgb

LEAST_SCORE = 1e-6  # so that labels of score 0 are still told apart by their maps

_CERTAIN = 1e6  # a logit that no kernel can outweigh


@functools.cache
def find_engine(name: CrfEngineName, device: str = "cpu") -> CrfEngine:
    """The engine of this process, opened when it is first asked for; ``device`` is "cpu" or "cuda:N"."""
    return open_engine(name, device=device)


@dataclass(frozen=True, slots=True)
class PosedCrf:
    """A CRF over the labels whose maps claim something."""

    problem: CrfProblem
    present: NDArray[np.bool_]  # (K + 1,): which rows take part; row 0 is background

    def spread(self, solution: NDArray[np.float32]) -> NDArray[np.float32]:
        """(L, H, W) of the labels that take part to (K + 1, H, W)."""
        if self.present.all():
            return solution
        probs = np.zeros((len(self.present), *solution.shape[1:]), np.float32)
        probs[self.present] = solution
        return probs  # (K + 1, H, W)


def pose_crf(
    maps: Maps,
    scores: Sequence[float],
    rgb: Rgb,
    settings: CrfSettings,
    *,
    threshold: float,
    box: Box | None = None,
) -> PosedCrf:
    """Class maps to the CRF that sharpens them along the photo's edges, all labels in one.

    Differs from the paper, which does not say how its unary comes from a saliency map and knows one object: see
    `unary_logits`. A map that is zero everywhere claims nothing: its label takes no part.

    Args:
        maps: (K, H, W) float32 in [0, 1], at the size of ``rgb``.
        scores: (K) in [0, 1], of each label.
        threshold: Map value where one label against background is undecided.
        box: Outside, everything is background for certain; its colours still speak to the pixels inside.
    Raises:
        ShapeMismatchError: maps and rgb differ in H or W.
    """
    if maps.shape[1:] != rgb.shape[:2]:
        raise ShapeMismatchError(f"maps {maps.shape[1:]} and photo {rgb.shape[:2]} differ")
    logits = unary_logits(maps, scores, confidence=settings.confidence, threshold=threshold, box=box)
    present = np.concatenate([[True], maps.any(axis=(1, 2))])  # (K + 1,)
    kernels = Kernels.at_size(settings, (rgb.shape[0], rgb.shape[1]))
    return PosedCrf(CrfProblem(logits[present], rgb, kernels, settings.steps), present)


def refine_with_crf(
    maps: Maps,
    scores: Sequence[float],
    rgb: Rgb,
    settings: CrfSettings,
    *,
    threshold: float,
    engine: CrfEngine,
    box: Box | None = None,
) -> NDArray[np.float32]:
    """`pose_crf` and its solution.

    Returns:
        (K + 1, H, W) float32, sums to 1; row 0 is background.
    """
    posed = pose_crf(maps, scores, rgb, settings, threshold=threshold, box=box)
    (solution,) = engine([posed.problem])
    return posed.spread(solution)


def unary_logits(
    maps: Maps, scores: Sequence[float], *, confidence: float, threshold: float, box: Box | None = None
) -> NDArray[np.float32]:
    """Class maps to the CRF's unary: 0 for background, a (map_k - t) + log(score_k / best score) for label k.

    With one label its probability is sigmoid(a (map - t)): undecided at the threshold, and the steeper the larger a.
    With several, one that the network believes in less is worth less: where two maps are equal, pixels go to the
    higher score.

    Args:
        maps: (K, H, W) float32 in [0, 1].
        scores: (K) in [0, 1].
        confidence: a.
        threshold: t.
        box: Outside, background is certain.
    Returns:
        (K + 1, H, W) float32; row 0 is background.
    """
    believed = np.maximum(np.asarray(scores, np.float32), LEAST_SCORE)  # (K,)
    prior = np.log(believed / believed.max())[:, None, None]  # (K, 1, 1)
    logits = np.zeros((len(maps) + 1, *maps.shape[1:]), np.float32)
    logits[1:] = confidence * (maps - np.float32(threshold)) + prior
    if box is not None:
        inside = np.zeros(maps.shape[1:], bool)
        inside[box.slices] = True
        logits[1:, ~inside] = -_CERTAIN
    return logits  # (K + 1, H, W)
