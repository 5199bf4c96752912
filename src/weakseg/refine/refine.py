"""Class maps of one photo to one label map: the refinement that was asked for, then one label per pixel."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from weakseg.card import Settings
from weakseg.options import Refine
from weakseg.refine.grabcut import box_seeds, can_cut, confine_to_box, cut, digitise_map
from weakseg.refine.threshold import threshold_map
from weakseg.types import Box, Geometry, LabelMap, Maps, Mask, Rgb


@dataclass(frozen=True, slots=True)
class Refined:
    label_map: LabelMap  # (H, W), 0 = background, k = k-th map
    warnings: tuple[str, ...]


def refine_maps(
    rgb: Rgb, maps: Maps, geometry: Geometry, settings: Settings, *, box: Box | None, side: int, names: tuple[str, ...]
) -> Refined:
    """Refine each map on its own, as the paper does (section 5.2); where masks overlap, the higher map wins.

    Args:
        rgb: (H, W, 3) uint8.
        maps: (K, h', w') float32 in [0, 1].
        geometry: Brings the maps to the photo.
        settings: What to do.
        box: Everything outside is background, and maps are scaled to a maximum of 1 inside.
        side: GrabCut runs with a long side of at most this many pixels; its mask is scaled back up.
        names: (K) label names, for the warnings.
    """
    work_rgb = shrink_to_side(rgb, side) if settings.refine is Refine.GRABCUT else rgb
    hw = (work_rgb.shape[0], work_rgb.shape[1])
    work_box = box.scaled(from_hw=geometry.photo_hw, to_hw=hw) if box else None
    label_map = np.zeros(hw, np.uint8)
    highest = np.zeros(hw, np.float32)
    warnings: list[str] = []
    for value, (class_map, name) in enumerate(zip(maps, names, strict=True), start=1):
        restored = scale_in_box(geometry.restore(class_map, hw), work_box)  # (H, W)
        mask, warning = _refine_one(work_rgb, restored, settings, work_box)
        warnings += [f"{name}: {warning}"] if warning else []
        wins = mask & (restored >= highest)
        label_map[wins] = value
        highest[wins] = restored[wins]
    return Refined(grow_labels(label_map, len(maps), geometry.photo_hw), tuple(warnings))


def cut_box(rgb: Rgb, box: Box, *, iterations: int, side: int) -> Refined:
    """Naked GrabCut: no class map, the box alone (paper, section 3). The label map has the values 0 and 1."""
    work_rgb = shrink_to_side(rgb, side)
    photo_hw, hw = (rgb.shape[0], rgb.shape[1]), (work_rgb.shape[0], work_rgb.shape[1])
    seeds = box_seeds(hw, box.scaled(from_hw=photo_hw, to_hw=hw))
    if not can_cut(seeds):
        warning = "GrabCut needs some pixels outside the box to learn the background; the whole box is returned."
        return Refined(grow_labels((seeds & 1).astype(np.uint8), 1, photo_hw), (warning,))
    label_map = cut(work_rgb, seeds, iterations=iterations).astype(np.uint8)
    return Refined(grow_labels(label_map, 1, photo_hw), ())


def scale_in_box(class_map: NDArray[np.float32], box: Box | None) -> NDArray[np.float32]:
    """The map with 0 outside the box and a maximum of 1 inside; without a box, the map as it is."""
    if box is None:
        return class_map
    inside = class_map[box.slices]
    scaled = np.zeros_like(class_map)
    scaled[box.slices] = inside / max(float(inside.max()), 1e-6)
    return scaled  # (H, W)


def shrink_to_side(rgb: Rgb, side: int) -> Rgb:
    """The photo with its long side at most ``side`` pixels, areas averaged; the photo itself if it is small enough."""
    height, width = rgb.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return rgb
    size_wh = (max(round(width * scale), 1), max(round(height * scale), 1))
    return cv2.resize(rgb, size_wh, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def grow_labels(label_map: LabelMap, count: int, hw: tuple[int, int]) -> LabelMap:
    """A label map at another size: each label's mask is resized bilinearly, so that borders stay smooth."""
    if label_map.shape == hw:
        return label_map
    grown = np.zeros(hw, np.uint8)
    for value in range(1, count + 1):
        share = cv2.resize((label_map == value).astype(np.float32), hw[::-1], interpolation=cv2.INTER_LINEAR)
        grown[share >= 0.5] = value
    return grown  # (H, W)


def _refine_one(
    rgb: Rgb, class_map: NDArray[np.float32], settings: Settings, box: Box | None
) -> tuple[Mask, str | None]:
    if settings.levels is None:
        mask = threshold_map(class_map, settings.threshold or 0.0)
        return mask, None if mask.any() else "the map is below the threshold everywhere, so its mask is empty."
    seeds = digitise_map(class_map, settings.levels)
    if box is not None:
        seeds = confine_to_box(seeds, box)
    if can_cut(seeds):
        return cut(rgb, seeds, iterations=settings.iterations or 1), None
    return (seeds & 1).astype(bool), "GrabCut had no foreground or no background to learn from; the map is cut at t1."
