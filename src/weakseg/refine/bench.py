"""The part of a photo that a step of refinement works on, at its size: class maps come in, labels go back."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from weakseg.types import Box, Geometry, LabelMap, Rgb


@dataclass(frozen=True, slots=True)
class Bench:
    """The part of a photo that is worked on, at the size at which it is worked on."""

    rgb: Rgb  # (Hb, Wb, 3)
    geometry: Geometry  # of the whole photo
    region: Box  # the part, in the photo
    box: Box | None  # the object's box, in (Hb, Wb)

    @classmethod
    def lay_out(
        cls, rgb: Rgb, geometry: Geometry, box: Box | None, *, context: float | None, side: int | None
    ) -> Bench:
        """Cut out the box with some context (None: take the whole photo); shrink to ``side`` (None: keep the size)."""
        region = find_region(geometry, box, context)
        part = rgb if region == geometry.whole else rgb[region.slices]
        part = part if side is None else shrink_to_side(part, side)
        hw = (part.shape[0], part.shape[1])
        work_box = box.relative_to(region).scaled(from_hw=(region.height, region.width), to_hw=hw) if box else None
        return cls(part, geometry, region, work_box)

    @property
    def hw(self) -> tuple[int, int]:
        return self.rgb.shape[0], self.rgb.shape[1]

    def take(self, class_map: NDArray[np.float32], *, stretches: bool = True) -> NDArray[np.float32]:
        """A class map of the whole photo to this part: (h', w') to (Hb, Wb); 0 outside a box.

        Args:
            stretches: Inside a box, the map goes from 0 to 1.
        """
        restored = self.geometry.restore(class_map, self.region, self.hw)
        if self.box is None:
            return restored
        return stretch_in_box(restored, self.box) if stretches else confine_map(restored, self.box)

    def take_over(self, layer: NDArray[np.float32]) -> NDArray[np.float32]:
        """A layer of the same part on another bench: (H', W') to (Hb, Wb)."""
        if layer.shape == self.hw:
            return layer
        shrinks = layer.shape[0] > self.hw[0]
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(layer, self.hw[::-1], interpolation=interpolation), np.float32)  # (Hb, Wb)

    def give_back(self, label_map: LabelMap, count: int, box: Box | None) -> LabelMap:
        """Labels of this part to the photo: (Hb, Wb) to (H, W), 0 outside the box (in photo pixels)."""
        grown = grow_labels(label_map, count, (self.region.height, self.region.width))
        if box is None:
            return grown
        labels = np.zeros(self.geometry.photo_hw, np.uint8)
        labels[box.slices] = grown[box.relative_to(self.region).slices]
        return labels  # (H, W)


def find_region(geometry: Geometry, box: Box | None, context: float | None) -> Box:
    """The box with ``context`` times its sides around it; the whole photo without a box or without a context."""
    return geometry.whole if box is None or context is None else box.grown(context, geometry.photo_hw)


def stretch_in_box(class_map: NDArray[np.float32], box: Box) -> NDArray[np.float32]:
    """(H, W): the map with 0 outside the box, and stretched from 0 to 1 inside. A constant map becomes 1 inside."""
    inside = class_map[box.slices]
    lowest, highest = float(inside.min()), float(inside.max())
    stretched = np.zeros_like(class_map)
    stretched[box.slices] = (inside - lowest) / (highest - lowest) if highest > lowest else 1
    return stretched  # (H, W)


def confine_map(class_map: NDArray[np.float32], box: Box) -> NDArray[np.float32]:
    """(H, W): the map as it is inside the box, 0 outside."""
    confined = np.zeros_like(class_map)
    confined[box.slices] = class_map[box.slices]
    return confined  # (H, W)


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
        np.copyto(grown, value, where=share >= 0.5)
    return grown  # (H, W)
