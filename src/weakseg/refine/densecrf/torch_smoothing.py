"""The smoothness kernel with PyTorch operators: a Gaussian of rows times one of columns."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

_LEAST_SIGMA_PX = 0.05  # narrower ones hear nothing of their neighbours either, and would divide by 0
_LEAST_SUM = 1e-20
_REACH = 6.0  # sigmas: exp(-18), below which sums of float32 do not change
_BLOCK, _CUDA_BLOCK = 96, 256  # targets that are computed together: the more, the fewer calls, and the more zeros

Weigh = Callable[[Tensor, Tensor], Tensor]  # (t, 1) places of targets and (s,) of sources to (t, s) weights


@dataclass(frozen=True, slots=True)
class Axis:
    """Evenly spaced places along rows or columns, in pixels."""

    start: int
    spacing: int
    count: int
    device: torch.device

    @classmethod
    def sampled(cls, length: int, spacing: int, device: torch.device) -> Axis:
        """The middle of every ``spacing`` pixels of so many."""
        start = (spacing - 1) // 2
        return cls(start, spacing, math.ceil((length - start) / spacing), device)

    @property
    def places(self) -> Tensor:
        """(count,) float32."""
        return self.start + self.spacing * torch.arange(self.count, dtype=torch.float32, device=self.device)

    def near(self, first_px: float, last_px: float) -> slice:
        """Those from one place to another, at least one."""
        first = math.ceil(min(max((first_px - self.start) / self.spacing, 0), self.count - 1))
        last = math.floor(min(max((last_px - self.start) / self.spacing, first), self.count - 1))
        return slice(first, last + 1)


@dataclass(frozen=True, slots=True)
class Banded:
    """A (T, S) matrix that is 0 far from its diagonal, in blocks of rows: the sources of each, and (t, s)."""

    blocks: tuple[tuple[slice, Tensor], ...]

    @classmethod
    def of(cls, targets: Axis, sources: Axis, reach_px: float, weigh: Weigh) -> Banded:
        size = _CUDA_BLOCK if targets.device.type == "cuda" else _BLOCK
        at_targets, at_sources, blocks = targets.places, sources.places, []
        for first in range(0, targets.count, size):
            last = min(first + size, targets.count) - 1
            ends_px = targets.start + targets.spacing * first, targets.start + targets.spacing * last
            near = sources.near(ends_px[0] - reach_px, ends_px[1] + reach_px)
            blocks.append((near, weigh(at_targets[first : last + 1, None], at_sources[near])))
        return cls(tuple(blocks))

    def sums(self) -> Tensor:
        """(T,)."""
        return torch.cat([weights.sum(1) for _, weights in self.blocks])

    def scaled(self, by_target: Tensor, by_source: Tensor) -> Banded:
        """Every weight times (T,) and times (S,)."""
        parts = torch.split(by_target, [len(weights) for _, weights in self.blocks])
        scaled = [
            (near, part[:, None] * weights * by_source[near])
            for (near, weights), part in zip(self.blocks, parts, strict=True)
        ]
        return Banded(tuple(scaled))

    def along_rows(self, maps: Tensor) -> Tensor:
        """(..., S, w) to (..., T, w)."""
        return torch.cat([weights @ maps[..., near, :] for near, weights in self.blocks], -2)

    def along_columns(self, maps: Tensor) -> Tensor:
        """(..., h, S) to (..., h, T)."""
        return torch.cat([maps[..., near] @ weights.T for near, weights in self.blocks], -1)


def normalised_gaussian(targets: Axis, sources: Axis, sigma_px: float) -> Banded:
    """What each target hears of each source, normalised symmetrically; outside the photo is nothing.

    A true Gaussian, where the authors' code has a lattice of two dimensions. As the kernel, the sum of weights of a
    pixel is a product of its row's and its column's, and so is its norm.
    """
    sigma_px = max(sigma_px, _LEAST_SIGMA_PX)

    def weigh(target: Tensor, source: Tensor) -> Tensor:
        return torch.exp(((target - source) / sigma_px).square().clamp(max=_REACH**2) / -2)

    reach_px = _REACH * sigma_px
    weights = Banded.of(targets, sources, reach_px, weigh)
    norm = _norm_of(weights)  # (T,)
    own_norm = norm if targets == sources else _norm_of(Banded.of(sources, sources, reach_px, weigh))  # (S,)
    return weights.scaled(norm, own_norm)


def _norm_of(weights: Banded) -> Tensor:
    return (weights.sums() + _LEAST_SUM).rsqrt()


def interpolation(targets: Axis, sources: Axis) -> Banded:
    """Linear between sources, and beyond them the nearest."""
    ends_px = sources.start, sources.start + sources.spacing * (sources.count - 1)

    def weigh(target: Tensor, source: Tensor) -> Tensor:
        return (1 - (target.clamp(*ends_px) - source).abs() / sources.spacing).clamp(min=0)

    return Banded.of(targets, sources, sources.spacing, weigh)
