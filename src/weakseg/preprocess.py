"""Photo to network input. Training and serving both come through here, so that they cannot drift apart."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from weakseg.card import Preprocessing
from weakseg.types import Geometry, Rgb

LEAST_SIDE_PX = 16  # every network takes an input of 16 x 16 pixels


def prepare(rgb: Rgb, settings: Preprocessing, max_side: int | None = None) -> tuple[NDArray[np.uint8], Geometry]:
    """Squash a photo to the network's size, or shrink it as it is.

    Shrinking averages areas, growing is bilinear. Normalisation by mean and std is part of the exported graph.

    Args:
        rgb: (H, W, 3) uint8 RGB.
        settings: From the model card.
        max_side: The long side at most: proportions are kept, see `fit_within`. None: squashed to the card's
            height x width.
    Returns:
        (h, w, 3) uint8 RGB, and the geometry that brings a class map back.
    """
    photo_hw = (rgb.shape[0], rgb.shape[1])
    height, width = (settings.height, settings.width) if max_side is None else fit_within(photo_hw, max_side)
    shrinks = rgb.shape[0] >= height and rgb.shape[1] >= width
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    network_input = cv2.resize(rgb, (width, height), interpolation=interpolation)  # (h, w, 3)
    return network_input.astype(np.uint8, copy=False), Geometry(photo_hw, fine=max_side is not None)


def fit_within(photo_hw: tuple[int, int], max_side: int) -> tuple[int, int]:
    """Height and width of a photo whose long side is shrunk to ``max_side`` pixels, if it is longer.

    Each side is rounded by itself and has 16 pixels at least: `Geometry` brings maps back along each axis, so that
    nothing is lost where proportions change by half a pixel, or by more in a strip of a photo.
    """
    scale = min(max_side / max(photo_hw), 1)
    height, width = (max(round(side * scale), LEAST_SIDE_PX) for side in photo_hw)
    return height, width
