"""The last mean-field update once more, at full resolution: what the samples of a grid say to every pixel."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from weakseg.refine.densecrf.torch_field import Grid, MeanField, channels_of, simplices
from weakseg.refine.densecrf.torch_smoothing import Axis, interpolation, normalised_gaussian

BORDER_SHARE = 0.25  # of all pixels: the room where the host does not wait to count them; 5 % is usual


def finish(field: MeanField, *, static: bool) -> list[Tensor]:
    """Logits of every pixel, (C, n, H, W) of each grid.

    The unary is each pixel's own, and the smoothness kernel reaches from the samples to each pixel. What comes from the
    lattice is looked up for pixels near a border (where the 3 x 3 samples around do not all have the same label) and
    interpolated between samples elsewhere.

    Args:
        static: Do not wait for the device: only the first quarter of all pixels that are near a border are looked up.
    """
    parts = zip(
        field.grids, *(field.of_grids(values) for values in (field.beliefs, field.arrived, field.logits)), strict=True
    )
    return [_finish_grid(field, *part, static=static) for part in parts]


def _finish_grid(
    field: MeanField, grid: Grid, beliefs: Tensor, arrived: Tensor, logits: Tensor, *, static: bool
) -> Tensor:
    """From (C, n, h, w) to (C, n, H, W)."""
    rows, columns = (Axis.sampled(length, 1, logits.device) for length in grid.run.hw)
    found = channels_of(field.batch, grid.run.logits)  # (C, n, H, W)
    if field.smooth_weight is not None:
        sigma_px = grid.run.kernels.smooth_sigma_px
        wide = normalised_gaussian(columns, grid.columns, sigma_px).along_columns(beliefs)  # (C, n, h, W)
        found = found + _weighed(field.smooth_weight, normalised_gaussian(rows, grid.rows, sigma_px).along_rows(wide))
    if field.colour_weight is not None:
        wide = interpolation(columns, grid.columns).along_columns(arrived)  # (C, n, h, W)
        between = interpolation(rows, grid.rows).along_rows(wide)  # (C, n, H, W)
        border = _spread(_border(field, logits), grid)  # (n, H, W)
        found = found + _weighed(field.colour_weight, _look_up(field, grid, between, border, static=static))
    return found


def _weighed(weight: float | Tensor, maps: Tensor) -> Tensor:
    """(C, n, H, W) times one weight, or (C, 1) of them."""
    return maps * (weight if isinstance(weight, float) else weight[:, :, None, None])


def _border(field: MeanField, logits: Tensor) -> Tensor:
    """(C, n, h, w) to (n, h, w) bool: not all labels of the 3 x 3 samples around are the same."""
    labels = (logits[0] > 0 if field.batch.is_binary else logits.argmax(0)).to(torch.float32)
    highest, lowest = (sign * functional.max_pool2d(sign * labels, 3, stride=1, padding=1) for sign in (1, -1))
    return highest != lowest


def _spread(samples: Tensor, grid: Grid) -> Tensor:
    """(n, h, w) to (n, H, W): each pixel takes its nearest sample."""
    for axis, (length, sampled) in enumerate(zip(grid.run.hw, (grid.rows, grid.columns), strict=True), start=1):
        pixels = torch.arange(length, device=samples.device)
        nearest = (pixels - sampled.start + sampled.spacing // 2).clamp(min=0) // sampled.spacing
        samples = samples.index_select(axis, nearest.clamp(max=sampled.count - 1))
    return samples


def _look_up(field: MeanField, grid: Grid, between: Tensor, border: Tensor, *, static: bool) -> Tensor:
    """What arrives from the lattice, (C, n, H, W): as in ``between``, but at the border, (n, H, W), looked up."""
    assert field.lattice is not None
    flags = border.flatten()
    number = flags.cumsum(0) - 1  # (n H W,): of each border pixel
    room = math.ceil(BORDER_SHARE * len(flags)) if static else int(number[-1]) + 1
    if room == 0:
        return between
    taken = flags & (number < room)
    pixels = torch.arange(len(flags), device=flags.device)
    chosen = torch.zeros(room + 1, dtype=torch.int64, device=flags.device)
    chosen = chosen.scatter_(0, torch.where(taken, number, room), pixels)[:room]
    keys, weights = _simplices_of(field, grid, chosen)
    exact = field.lattice.slice_elsewhere(field.vertices, keys, weights)  # (C, room)
    looked_up = exact.index_select(1, number.clamp(0, room - 1)).reshape(-1, *border.shape)  # (C, n, H, W)
    return torch.where(taken.view(border.shape), looked_up, between)


def _simplices_of(field: MeanField, grid: Grid, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """(6, Q) keys and weights of (Q,) pixels, counted through the run's photos."""
    height, width = grid.run.hw
    photo, place = pixels // (height * width), pixels % (height * width)
    colours = grid.run.rgb.transpose(0, 1).flatten(1).index_select(1, pixels)  # (3, Q)
    row, column = (place // width).to(torch.float32), (place % width).to(torch.float32)
    return simplices(field.batch, grid.run, photo.to(field.batch.key_dtype), row, column, colours.unbind(0))
