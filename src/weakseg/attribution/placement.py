"""Put the cells of a map where they lie in the photo, instead of stretching the map over it.

Written so that tracing keeps every size dynamic, as in :mod:`weakseg.attribution.cam`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from weakseg.models.grid import Grid


def merge_views(maps: list[Tensor], views: list[Tensor], grid: Grid, *, like: Tensor) -> Tensor:
    """The mean of the views' maps, each put where its cells lie in the photo: (B, K, h', w') each.

    The size is read from the feature map ``like``, and not from a map: the ONNX exporter takes the size behind a
    reshape for a constant.
    """
    placed = [place_cells(each, view, grid, like) for each, view in zip(maps, views, strict=True)]
    return torch.stack(placed).mean(0)  # (B, K, h', w')


def place_cells(maps: Tensor, view: Tensor, grid: Grid, like: Tensor) -> Tensor:
    """Linear interpolation from a network's grid to cells that divide the photo evenly, as many as ``like`` has.

    Args:
        maps: (B, K, n_y, n_x) of this view.
        view: (B, 3, h, w): the input of this view.
        like: (B, F, h', w').
    Returns:
        (B, K, h', w'): cell (i, j) is centred at ((i + 1/2) h / h', (j + 1/2) w / w') of the view.
    """
    rows, columns = (
        interpolation_weights(
            count_up(like, axis),
            count_up(maps, axis),
            view.shape[axis],
            grid.stride_yx[axis - 2],
            grid.first_yx[axis - 2],
        )
        for axis in (2, 3)
    )  # (h', n_y), (w', n_x)
    placed: Tensor = rows @ maps @ columns.T  # (B, K, h', w')
    return placed


def sample_smoothly(maps: Tensor, view: Tensor, source: Grid, target: Grid, like: Tensor, sigma: float) -> Tensor:
    """Maps of one grid at the cells of another, smoothed by a Gaussian on the way.

    The Gaussian is cut off at the border, and what is left of it sums to 1 again.

    Args:
        maps: (B, K, n_y, n_x) on grid ``source``.
        view: (B, 3, h, w): the input of this view.
        like: (B, F, h', w') on grid ``target``.
        sigma: A fraction of the longer side of the view; 0: linear interpolation.
    Returns:
        (B, K, h', w').
    """
    longer_px = torch.maximum(count_up(view, 2)[-1], count_up(view, 3)[-1]) + 1
    sides = []
    for axis in (2, 3):
        cells = count_up(maps, axis)  # (n_y,) or (n_x,)
        pixels = target.first_yx[axis - 2] + count_up(like, axis) * target.stride_yx[axis - 2]  # (h',) or (w',)
        places = (pixels - source.first_yx[axis - 2]) / source.stride_yx[axis - 2]  # in cells of the source
        if sigma == 0:
            sides.append(linear_weights(places, cells))
        else:
            sides.append(gaussian_weights(places, cells, sigma * longer_px / source.stride_yx[axis - 2]))
    rows, columns = sides
    sampled: Tensor = rows @ maps @ columns.T  # (B, K, h', w')
    return sampled


def count_up(maps: Tensor, axis: int) -> Tensor:
    """0, 1, 2 ... along one axis of (B, N, h, w), float32.

    Not ``torch.arange``: tracing takes its device for a constant, and the graph is exported on a CPU to run anywhere.
    """
    line = maps.select(5 - axis, 0)[0, 0]  # (h,) for axis 2, (w,) for axis 3
    return torch.ones_like(line).cumsum(0) - 1


def interpolation_weights(parts: Tensor, cells: Tensor, length_px: int, stride_px: float, first_px: float) -> Tensor:
    """How much each cell of a row counts at the centre of each of several equal parts of the row.

    Args:
        parts, cells: (P,) and (N,): 0, 1, 2 ...
        length_px: Of the row.
        stride_px, first_px: Cell n is centred at pixel first_px + n stride_px.
    Returns:
        (P, N), sums to 1 over N.
    """
    pixels = (parts + 0.5) * (length_px / parts.shape[0]) - 0.5  # (P,)
    return linear_weights((pixels - first_px) / stride_px, cells)


def linear_weights(places: Tensor, cells: Tensor) -> Tensor:
    """Linear interpolation between cells 0, 1, 2 ..., and the nearest one's value beyond them.

    Args:
        places: (P,), in cells.
        cells: (N,): 0, 1, 2 ...
    Returns:
        (P, N), sums to 1 over N.
    """
    inside = torch.minimum(places.clamp(min=0), cells[-1])  # (P,)
    weights: Tensor = (1 - (inside[:, None] - cells).abs()).clamp(min=0)  # (P, N)
    return weights


def gaussian_weights(places: Tensor, cells: Tensor, sigma: Tensor) -> Tensor:
    """As ``linear_weights``, with a Gaussian of ``sigma`` cells around each place."""
    return (-(((places[:, None] - cells) / sigma) ** 2) / 2).softmax(1)  # (P, N); a small sigma leaves the nearest cell
