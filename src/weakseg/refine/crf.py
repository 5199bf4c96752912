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
_LEAST_PLAUSIBLE = 0.05  # a probability from which on a label may win a pixel of a CRF
_LEAST_PROBABILITY = 1e-4  # a network that is surer is hardly ever right about it


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
    _check_same_size(maps, rgb)
    logits = unary_logits(maps, scores, confidence=settings.confidence, threshold=threshold, box=box)
    return _pose(logits, np.asarray(maps.any(axis=(1, 2)), np.bool_), rgb, settings)


def pose_probabilities(
    probs: Maps, rgb: Rgb, settings: CrfSettings, *, threshold: float, box: Box | None = None
) -> PosedCrf:
    """Probabilities of a network that learned masks to the CRF that sharpens them, as DeepLab does.

    Chen et al., "Semantic Image Segmentation with Deep Convolutional Nets and Fully Connected CRFs" (ICLR 2015,
    section 3). Differs from the paper: see `probability_logits`; and a label that is hardly likely anywhere takes no
    part, which saves its time.

    Args:
        probs: (K, H, W) float32 in [0, 1], at the size of ``rgb``; what they leave of 1 is everything else.
        threshold: Probability where one label against the rest is undecided.
        box: Outside, everything is the rest for certain.
    Raises:
        ShapeMismatchError: probs and rgb differ in H or W.
    """
    _check_same_size(probs, rgb)
    logits = probability_logits(probs, confidence=settings.confidence, threshold=threshold, box=box)
    plausible = np.asarray(probs.max(axis=(1, 2)) >= _LEAST_PLAUSIBLE, np.bool_)  # (K,)
    return _pose(logits, plausible, rgb, settings)


def _check_same_size(maps: Maps, rgb: Rgb) -> None:
    if maps.shape[1:] != rgb.shape[:2]:
        raise ShapeMismatchError(f"maps {maps.shape[1:]} and photo {rgb.shape[:2]} differ")


def _pose(logits: NDArray[np.float32], claiming: NDArray[np.bool_], rgb: Rgb, settings: CrfSettings) -> PosedCrf:
    """(K + 1, H, W) logits, of which the background's and those of the (K,) labels that claim something take part."""
    present = np.concatenate([[True], claiming])  # (K + 1,)
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
    return _confine(logits, box)  # (K + 1, H, W)


def probability_logits(
    probs: Maps, *, confidence: float, threshold: float, box: Box | None = None
) -> NDArray[np.float32]:
    """Probabilities to the CRF's unary: 0 for the rest, a (log p_k - log rest - logit t) for label k.

    At a = 1 and t = 0.5 their softmax is the network's own: p_k of each label, and the rest 1 - sum of them. Differs
    from DeepLab, which has a class of background and no threshold: probabilities are kept off 0 and 1 by 1e-4.

    Args:
        probs: (K, H, W) float32 in [0, 1].
        confidence: a.
        threshold: t.
        box: Outside, the rest is certain.
    Returns:
        (K + 1, H, W) float32; row 0 is the rest.
    """
    rest = _log(1 - probs.sum(axis=0))  # (H, W)
    undecided = _log(threshold) - _log(1 - threshold)
    logits = np.zeros((len(probs) + 1, *probs.shape[1:]), np.float32)
    logits[1:] = confidence * (_log(probs) - rest - undecided)
    return _confine(logits, box)  # (K + 1, H, W)


def _log(probs: NDArray[np.float32] | float) -> NDArray[np.float32]:
    return np.log(np.clip(np.asarray(probs, np.float32), _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY))


def _confine(logits: NDArray[np.float32], box: Box | None) -> NDArray[np.float32]:
    """The same (K + 1, H, W) array, its labels impossible outside the box."""
    if box is not None:
        inside = np.zeros(logits.shape[1:], bool)
        inside[box.slices] = True
        logits[1:, ~inside] = -_CERTAIN
    return logits
