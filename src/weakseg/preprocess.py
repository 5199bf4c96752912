"""Photo to network input. Training and serving both come through here, so that they cannot drift apart."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from weakseg.card import Preprocessing
from weakseg.types import Box, Geometry, Rgb


def prepare(rgb: Rgb, settings: Preprocessing, box: Box | None = None) -> tuple[NDArray[np.uint8], Geometry]:
    """Cut out what the network shall see and squash it to the network's size.

    Shrinking averages areas, growing is bilinear. Normalisation by mean and std is part of the exported graph.

    Args:
        rgb: (H, W, 3) uint8 RGB.
        settings: From the model card.
        box: The object's box; matters only where the card says ``crop_to_box``.
    Returns:
        (h, w, 3) uint8 RGB, and the geometry that brings a class map back.
    """
    photo_hw = (rgb.shape[0], rgb.shape[1])
    crop = Box(0, 0, photo_hw[1], photo_hw[0])
    if box is not None and settings.crop_to_box:
        crop = grow_box(box, settings.box_margin, photo_hw)
    part = rgb[crop.slices]
    shrinks = part.shape[0] >= settings.height and part.shape[1] >= settings.width
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    network_input = cv2.resize(part, (settings.width, settings.height), interpolation=interpolation)  # (h, w, 3)
    return network_input.astype(np.uint8, copy=False), Geometry(photo_hw, crop)


def grow_box(box: Box, margin: float, photo_hw: tuple[int, int]) -> Box:
    """The box with ``margin`` times its own width and height added on each side, inside the photo."""
    dx, dy = round(box.width * margin), round(box.height * margin)
    height, width = photo_hw
    return Box(max(box.x0 - dx, 0), max(box.y0 - dy, 0), min(box.x1 + dx, width), min(box.y1 + dy, height))
