"""The guided filter (He, Sun & Tang, ECCV 2010): a class map that follows the photo's edges, in a millisecond."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from weakseg.errors import ShapeMismatchError
from weakseg.types import Rgb

Floats = NDArray[np.float32]

CELLS_PER_RADIUS = 4  # He & Sun 2015 shrink to a quarter of the radius and find no visible difference


def filter_map(class_map: Floats, rgb: Rgb, *, radius: float, eps: float) -> Floats:
    """Replace each window of a class map by the linear function of the photo's colours that fits it best.

    He, Sun & Tang, "Guided Image Filtering" (TPAMI 2013, section 3.5: colour guide), in the form of He & Sun, "Fast
    Guided Filter" (arXiv 1505.00996): the functions are fitted on a smaller photo and enlarged. Differs from the
    papers: the photo is shrunk by averaging areas; the result is clipped to [0, 1].

    Args:
        class_map: (H, W) float32 in [0, 1]. Not modified.
        rgb: (H, W, 3) uint8. Not modified.
        radius: Of the windows, as a fraction of the long side. Below a pixel the map is left as it is.
        eps: How much variance counts as an edge, in squared colours of [0, 1]. Larger is smoother.
    Returns:
        (H, W) float32 in [0, 1].
    Raises:
        ShapeMismatchError: map and photo differ in H or W.
    """
    if class_map.shape != rgb.shape[:2]:
        raise ShapeMismatchError(f"map {class_map.shape} and photo {rgb.shape[:2]} differ")
    height, width = class_map.shape
    radius_px = round(radius * max(height, width))
    if radius_px < 1:
        return class_map.copy()
    step = max(radius_px // CELLS_PER_RADIUS, 1)
    small_wh = (-(-width // step), -(-height // step))
    small_map = _resize(class_map, small_wh, cv2.INTER_AREA)
    guide = [_resize(channel, small_wh, cv2.INTER_AREA) / np.float32(255) for channel in cv2.split(rgb)]
    lines = fit_lines(small_map, guide, round(radius_px / step), eps)  # 4 of (h, w)
    slopes = [_resize(line, (width, height), cv2.INTER_LINEAR) for line in lines]  # 4 of (H, W)
    filtered = slopes.pop()
    for slope, channel in zip(slopes, cv2.split(rgb), strict=True):
        filtered += np.asarray(cv2.multiply(slope, channel, scale=1 / 255, dtype=cv2.CV_32F), np.float32)
    return np.clip(filtered, 0, 1, out=filtered)  # (H, W)


def _resize(values: NDArray[Any], wh: tuple[int, int], interpolation: int) -> Floats:
    return np.asarray(cv2.resize(values, wh, interpolation=interpolation), np.float32)


def fit_lines(class_map: Floats, guide: Sequence[Floats], radius_px: int, eps: float) -> list[Floats]:
    """The linear functions of all windows around each pixel, averaged: equations (14), (15) and (16).

    Args:
        class_map: (h, w).
        guide: Red, green and blue, (h, w) each, in [0, 1].
    Returns:
        Four of (h, w): slopes of red, green and blue, and the offset.
    """
    mean = _Window(class_map.shape, radius_px).mean
    means = [mean(colour) for colour in guide]
    map_mean = mean(class_map)
    shared = [mean(colour * class_map) - m * map_mean for colour, m in zip(guide, means, strict=True)]
    rr, rg, rb, gg, gb, bb = (
        mean(guide[i] * guide[j]) - means[i] * means[j] for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    )
    noise = np.float32(eps)
    slopes = _solve(rr + noise, rg, rb, gg + noise, gb, bb + noise, shared)
    offset = map_mean - sum(slope * m for slope, m in zip(slopes, means, strict=True))
    return [mean(line) for line in (*slopes, offset)]


class _Window:
    """Means over squares of 2 r + 1 pixels; at the photo's border, over the part that is inside."""

    def __init__(self, hw: tuple[int, ...], radius_px: int) -> None:
        self._size = (2 * radius_px + 1, 2 * radius_px + 1)
        self._inverse_count = np.float32(1) / self._sum(np.ones(hw, np.float32))  # (h, w)

    def mean(self, values: Floats) -> Floats:
        return self._sum(values) * self._inverse_count

    def _sum(self, values: Floats) -> Floats:
        summed = cv2.boxFilter(values, -1, self._size, normalize=False, borderType=cv2.BORDER_CONSTANT)
        return np.asarray(summed, np.float32)


def _solve(rr: Floats, rg: Floats, rb: Floats, gg: Floats, gb: Floats, bb: Floats, right: list[Floats]) -> list[Floats]:
    """Solve one symmetric 3 x 3 system per pixel by Cramer's rule."""
    inverse = (gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg, rr * bb - rb * rb, rg * rb - rr * gb)
    xx, xy, xz, yy, yz = inverse
    zz = rr * gg - rg * rg
    scale = np.float32(1) / (rr * xx + rg * xy + rb * xz)
    r, g, b = right
    return [(xx * r + xy * g + xz * b) * scale, (xy * r + yy * g + yz * b) * scale, (xz * r + yz * g + zz * b) * scale]
