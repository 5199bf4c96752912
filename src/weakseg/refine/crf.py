"""A dense CRF over class maps: the course project's approaches ii and iii (phase 3), for one label or several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from weakseg.card import CrfSettings
from weakseg.errors import ShapeMismatchError
from weakseg.types import Box, Maps, Rgb

LEAST_SCORE = 1e-6  # so that labels of score 0 are still told apart by their maps

_CERTAIN = 1e6  # a logit that no kernel can outweigh


@dataclass(frozen=True, slots=True)
class Kernels:
    """The two kernels of the energy (Kraehenbuehl & Koltun, equation 3), in pixels and grey levels of 0 to 255.

    Smoothness: ``smooth_weight`` exp(-|p - q|^2 / 2 smooth_sigma_px^2) for pixels at p and q. Appearance:
    ``colour_weight`` exp(-|p - q|^2 / 2 colour_sigma_px^2 - |I_p - I_q|^2 / 2 colour_rgb^2). A weight of 0 switches one
    off.
    """

    smooth_sigma_px: float
    smooth_weight: float
    colour_sigma_px: float
    colour_rgb: float
    colour_weight: float

    @classmethod
    def at_size(cls, settings: CrfSettings, hw: tuple[int, int]) -> Kernels:
        """The kernels for a photo of H x W pixels; settings are relative to its long side."""
        long_side_px = max(hw)
        return cls(
            settings.smooth_sigma * long_side_px,
            settings.smooth_weight,
            settings.colour_sigma * long_side_px,
            settings.colour_rgb,
            settings.colour_weight,
        )


class CrfEngine(Protocol):
    """Mean-field inference of a fully connected CRF with a Potts model."""

    def __call__(self, logits: NDArray[np.float32], rgb: Rgb, kernels: Kernels, *, steps: int) -> NDArray[np.float32]:
        """Probability of each label at each pixel.

        Args:
            logits: (L, H, W) float32: minus the unary energies, up to a constant per pixel. Not modified.
            rgb: (H, W, 3) uint8. Not modified.
            steps: Mean-field updates after the first estimate, softmax(logits).
        Returns:
            (L, H, W) float32, sums to 1 over L.
        """


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
    """Sharpen class maps along the photo's edges, all labels in one CRF.

    Differs from the paper, which does not say how its unary comes from a saliency map and knows one object: see
    `unary_logits`. A map that is zero everywhere claims nothing: its label takes no part.

    Args:
        maps: (K, H, W) float32 in [0, 1], at the size of ``rgb``.
        scores: (K) in [0, 1], of each label.
        threshold: Map value where one label against background is undecided.
        box: Outside, everything is background for certain; its colours still speak to the pixels inside.
    Returns:
        (K + 1, H, W) float32, sums to 1; row 0 is background.
    Raises:
        ShapeMismatchError: maps and rgb differ in H or W.
    """
    if maps.shape[1:] != rgb.shape[:2]:
        raise ShapeMismatchError(f"maps {maps.shape[1:]} and photo {rgb.shape[:2]} differ")
    logits = unary_logits(maps, scores, confidence=settings.confidence, threshold=threshold, box=box)
    present = np.concatenate([[True], maps.any(axis=(1, 2))])  # (K + 1,)
    probs = np.zeros(logits.shape, np.float32)
    kernels = Kernels.at_size(settings, (rgb.shape[0], rgb.shape[1]))
    probs[present] = engine(logits[present], rgb, kernels, steps=settings.steps)
    return probs  # (K + 1, H, W)


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
