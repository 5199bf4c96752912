"""Maps with many cells to another size: what `Geometry` does by matrices where cells are few, here cell by cell."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Span = tuple[float, float]  # from where to where, in cells


def resample(values: Floats, rows: Span, columns: Span, hw: tuple[int, int]) -> Floats:
    """A part of a map at another size, axis by axis: growing is linear, shrinking averages areas.

    Arithmetic is in pixel areas (half-pixel centres); beyond the outer cells' centres their values go on.

    Args:
        values: (h', w') float32. Not modified.
        rows, columns: The part, within [0, h'] and [0, w'].
        hw: H and W of the result.
    Returns:
        (H, W) float32, contiguous.
    """
    if (rows, columns) == ((0, values.shape[0]), (0, values.shape[1])) and _is_of_one_kind(values, hw):
        # 384 x 512 to 3000 x 4000, one core: 13 ms, where the rest of this file takes 230.
        shrinks = hw[0] < values.shape[0]
        resized = cv2.resize(values, hw[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        return np.asarray(resized, np.float32)  # (H, W)
    upright = _resample_rows(values, rows, hw[0])  # (H, w')
    turned = _resample_rows(np.ascontiguousarray(upright.T), columns, hw[1])  # (W, H)
    return np.ascontiguousarray(turned.T)  # (H, W)


def _is_of_one_kind(values: Floats, hw: tuple[int, int]) -> bool:
    """Whether both axes shrink, or none does: OpenCV has one rule for both."""
    height, width = values.shape
    return bool((hw[0] < height) == (hw[1] < width))


def _resample_rows(values: Floats, span: Span, count: int) -> Floats:
    """(n, m) to (count, m)."""
    step = (span[1] - span[0]) / count
    edges = np.asarray(span[0] + np.arange(count + 1) * step, np.float64)  # (count + 1,)
    if step > 1:
        return _average_between(values, edges)
    places = np.clip((edges[:-1] + edges[1:]) / 2 - 0.5, 0, len(values) - 1)  # (count,)
    return _look_up(values, places)


def _look_up(values: Floats, places: NDArray[np.float64]) -> Floats:
    """Linear interpolation at places in [0, n - 1]."""
    low = np.minimum(places.astype(np.intp), max(len(values) - 2, 0))
    high = np.minimum(low + 1, len(values) - 1)
    share = (places - low).astype(np.float32)[:, None]  # (count, 1)
    found = values[low]  # (count, m)
    found += share * (values[high] - found)
    return found


def _average_between(values: Floats, edges: NDArray[np.float64]) -> Floats:
    """The mean of the cells, or parts of cells, between neighbouring edges."""
    whole = np.minimum(edges.astype(np.intp), len(values) - 1)
    sums = np.concatenate([np.zeros((1, values.shape[1])), values.cumsum(axis=0, dtype=np.float64)])  # (n + 1, m)
    up_to = sums[whole] + (edges - whole)[:, None] * values[whole]  # (count + 1, m)
    return (np.diff(up_to, axis=0) / np.diff(edges)[:, None]).astype(np.float32)  # (count, m)
