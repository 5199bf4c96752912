"""The smoothness kernel with PyTorch operators: a Gaussian of rows times one of columns."""

from __future__ import annotations

import torch
from torch import Tensor

_LEAST_SIGMA_PX = 0.05  # narrower ones hear nothing of their neighbours either, and would divide by 0
_LEAST_SUM = 1e-20


def normalised_gaussian(targets: Tensor, sources: Tensor, sigma_px: float) -> Tensor:
    """What each target hears of each source, normalised symmetrically; outside the photo is nothing.

    A true Gaussian, where the authors' code has a lattice of two dimensions. As the kernel, the sum of weights of a
    pixel is a product of its row's and its column's, and so is its norm.

    Args:
        targets: (T,) float32, places in pixels.
        sources: (S,) float32, likewise.
    Returns:
        (T, S) float32.
    """
    at_sources = _gaussian(sources, sources, sigma_px).sum(1)  # (S,)
    weights = _gaussian(targets, sources, sigma_px)  # (T, S)
    return weights * (weights.sum(1, keepdim=True) + _LEAST_SUM).rsqrt() * (at_sources + _LEAST_SUM).rsqrt()


def interpolation(targets: Tensor, sources: Tensor) -> Tensor:
    """Linear interpolation between ascending, evenly spaced sources, and beyond them the nearest. Returns: (T, S)."""
    if len(sources) == 1:
        return torch.ones_like(targets)[:, None]
    spacing = sources[1:2] - sources[:1]
    inside = torch.minimum(torch.maximum(targets, sources[0]), sources[-1])  # (T,)
    return (1 - (inside[:, None] - sources).abs() / spacing).clamp(min=0)  # (T, S)


def apply_separably(rows: Tensor, columns: Tensor, maps: Tensor) -> Tensor:
    """(T, h) rows and (U, w) columns over (..., h, w) maps: (..., T, U)."""
    return rows @ (maps @ columns.T)


def _gaussian(targets: Tensor, sources: Tensor, sigma_px: float) -> Tensor:
    apart = (targets[:, None] - sources) / max(sigma_px, _LEAST_SIGMA_PX)
    return torch.exp(-apart * apart / 2)
