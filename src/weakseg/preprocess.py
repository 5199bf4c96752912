"""Photo to network input. Training and serving both come through here, so that they cannot drift apart."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from weakseg.card import Preprocessing
from weakseg.types import Geometry, Rgb


def prepare(rgb: Rgb, settings: Preprocessing) -> tuple[NDArray[np.uint8], Geometry]:
    """Squash a photo to the network's size.

    Shrinking averages areas, growing is bilinear. Normalisation by mean and std is part of the exported graph.

    Args:
        rgb: (H, W, 3) uint8 RGB.
        settings: From the model card.
    Returns:
        (h, w, 3) uint8 RGB, and the geometry that brings a class map back.
    """
    shrinks = rgb.shape[0] >= settings.height and rgb.shape[1] >= settings.width
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    network_input = cv2.resize(rgb, (settings.width, settings.height), interpolation=interpolation)  # (h, w, 3)
    return network_input.astype(np.uint8, copy=False), Geometry((rgb.shape[0], rgb.shape[1]))
