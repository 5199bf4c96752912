"""Mean-field inference by exact sums over all pairs of pixels: the oracle for CRF engines, on small photos."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from weakseg.refine.densecrf.problem import CrfProblem


def infer_exactly(problems: Sequence[CrfProblem]) -> list[NDArray[np.float32]]:
    """A `CrfEngine` in float64 without any lattice: Kraehenbuehl & Koltun's Algorithm 1, kernels normalised
    symmetrically by 1 / sqrt(sum + 1e-20), each pixel's message to itself included."""
    return [_infer(problem) for problem in problems]


def _infer(problem: CrfProblem) -> NDArray[np.float32]:
    logits, rgb, kernels = problem.logits, problem.rgb, problem.kernels
    labels, height, width = logits.shape
    places = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), -1).reshape(-1, 2)  # (P, 2)
    apart = _squared_distances(places.astype(float))  # (P, P)
    colours_apart = _squared_distances(rgb.reshape(-1, 3).astype(float))  # (P, P)
    smooth = _normalise(np.exp(-apart / (2 * kernels.smooth_sigma_px**2)))
    colour = _normalise(np.exp(-apart / (2 * kernels.colour_sigma_px**2) - colours_apart / (2 * kernels.colour_rgb**2)))
    smooth_weight, colour_weight = (
        np.broadcast_to(weight, labels)[:, None] for weight in (kernels.smooth_weight, kernels.colour_weight)
    )
    unary = logits.reshape(labels, -1).astype(float)  # (L, P)
    probs = _softmax(unary)
    for _ in range(problem.steps):  # Potts: agreement is worth as much as disagreement costs
        probs = _softmax(unary + smooth_weight * (probs @ smooth) + colour_weight * (probs @ colour))
    return probs.reshape(logits.shape).astype(np.float32)  # (L, H, W)


def _squared_distances(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return ((points[:, None] - points[None]) ** 2).sum(-1)


def _normalise(kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    scale = 1 / np.sqrt(kernel.sum(1) + 1e-20)
    return scale[:, None] * kernel * scale[None]


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    grown = np.exp(logits - logits.max(0))
    return grown / grown.sum(0)
