"""Mean-field updates of a batch of dense CRFs with PyTorch operators, on a grid of samples of each photo.

Two labels of the same weight need one channel: with z the difference of their logits, the difference of their
probabilities is tanh(z / 2), and a Potts model adds the weighted difference to z. Otherwise there is a channel per
label. Channels are (C, P), P samples of all photos; what belongs to one run is (C, n, h, w).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from weakseg.refine.densecrf.problem import Weight
from weakseg.refine.densecrf.torch_lattice import Lattice, constant, locate
from weakseg.refine.densecrf.torch_problem import Batch, Run
from weakseg.refine.densecrf.torch_smoothing import Axis, Banded, normalised_gaussian


@dataclass(frozen=True, slots=True)
class Grid:
    """Every so many rows and columns of a run's photos: point samples, since averaged colours blur the edges."""

    run: Run
    rows: Axis
    columns: Axis
    row_kernel: Banded  # smoothness
    column_kernel: Banded

    @classmethod
    def over(cls, run: Run, spacing: int) -> Grid:
        sigma_px = run.kernels.smooth_sigma_px
        rows, columns = (Axis.sampled(length, spacing, run.rgb.device) for length in run.hw)
        row_kernel = normalised_gaussian(rows, rows, sigma_px)
        return cls(run, rows, columns, row_kernel, normalised_gaussian(columns, columns, sigma_px))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(n, h, w)."""
        return self.run.photos, self.rows.count, self.columns.count

    def sample(self, maps: Tensor) -> Tensor:
        """(..., H, W) to (..., h, w)."""
        return maps[..., self.rows.start :: self.rows.spacing, self.columns.start :: self.columns.spacing]

    def simplices(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(6, n h w) keys and weights of the samples."""
        photo = torch.arange(self.run.photos, dtype=batch.key_dtype, device=self.run.rgb.device)[:, None, None]
        row, column = self.rows.places[:, None], self.columns.places
        return simplices(batch, self.run, photo, row, column, self.sample(self.run.rgb).unbind(1))


def simplices(
    batch: Batch, run: Run, photo: Tensor, row: Tensor, column: Tensor, rgb: tuple[Tensor, ...]
) -> tuple[Tensor, Tensor]:
    """`locate` for pixels of a run; photo, row, column and the three colours broadcast together."""
    sigma_px, sigma_rgb = run.appearance.sigma_px, run.appearance.sigma_rgb
    features = [column / sigma_px, row / sigma_px, *(colour / sigma_rgb for colour in rgb)]
    return locate(features, photo + run.first, batch.space, batch.key_dtype)


class MeanField:
    """A batch on its grids, updated step by step.

    Args:
        room: For vertices of the lattice; None: just enough, which the host has to wait for.
    Attributes:
        logits: (C, P) after the last update.
        beliefs: (C, P) before the last update.
        vertices: (C, V + 1) on the lattice, blurred, of the last update; None before, or without a lattice.
        arrived: (C, P): what came from there.
    """

    def __init__(self, batch: Batch, room: int | None) -> None:
        kernels, device = batch.problem.kernels, batch.problem.logits.device
        self.batch = batch
        self.grids = [Grid.over(run, batch.spacing) for run in batch.runs]
        self.smooth_weight = weigh(kernels.smooth_weight, device)
        self.colour_weight = weigh(kernels.colour_weight, device)
        self.lattice = self._build_lattice(room) if self.colour_weight is not None else None
        self.unary = torch.cat([channels_of(batch, grid.sample(grid.run.logits)).flatten(1) for grid in self.grids], 1)
        self.logits = self.beliefs = self.unary
        self.arrived, self.vertices = torch.zeros_like(self.unary), self.unary.new_zeros(0)

    def _build_lattice(self, room: int | None) -> Lattice:
        simplices_of_grids = zip(*(grid.simplices(self.batch) for grid in self.grids), strict=True)
        keys, weights = (torch.cat(parts, 1) for parts in simplices_of_grids)  # (6, P)
        return Lattice.build(keys, weights, self.batch.space, self.batch.photos, room)

    def update(self) -> None:
        """One step: what every label is told by all other samples, and their own unary again."""
        self.beliefs = believe(self.batch, self.logits)
        self.logits = self.unary
        if self.colour_weight is not None:
            assert self.lattice is not None
            self.vertices = self.lattice.blur(self.lattice.splat(self.beliefs))
            self.arrived = self.lattice.slice(self.vertices)
            self.logits = self.logits + self.colour_weight * self.arrived
        if self.smooth_weight is not None:
            self.logits = self.logits + self.smooth_weight * self._smooth(self.beliefs)

    def _smooth(self, values: Tensor) -> Tensor:
        parts = zip(self.grids, self.of_grids(values), strict=True)
        smoothed = [grid.row_kernel.along_rows(grid.column_kernel.along_columns(part)) for grid, part in parts]
        return torch.cat([part.flatten(1) for part in smoothed], 1)  # (C, P)

    def of_grids(self, values: Tensor) -> list[Tensor]:
        """(C, P) to (C, n, h, w) of each grid."""
        parts = torch.split(values, [math.prod(grid.shape) for grid in self.grids], 1)
        return [part.reshape(-1, *grid.shape) for part, grid in zip(parts, self.grids, strict=True)]


def weigh(weight: Weight, device: torch.device) -> float | Tensor | None:
    """One number for all channels, (C, 1) for one each, or None: nothing is weighed."""
    if not np.any(weight):
        return None
    if not isinstance(weight, tuple) or len(set(weight)) == 1:
        return float(np.max(weight))
    return constant(weight, torch.float32, device)[:, None]  # (C, 1)


def channels_of(batch: Batch, logits: Tensor) -> Tensor:
    """(n, L, h, w) to (C, n, h, w)."""
    return (logits[:, 1:] - logits[:, :1] if batch.is_binary else logits).transpose(0, 1)


def believe(batch: Batch, logits: Tensor) -> Tensor:
    """(C, ...) to the same: probabilities of labels, or of two their difference."""
    return torch.tanh(logits / 2) if batch.is_binary else logits.softmax(0)


def probabilities(batch: Batch, logits: Tensor) -> Tensor:
    """(C, n, h, w) to (n, L, h, w)."""
    probs = torch.cat([torch.sigmoid(-logits), torch.sigmoid(logits)]) if batch.is_binary else logits.softmax(0)
    return probs.transpose(0, 1)
