"""Gaussian smoothing of a class map: the course project's approach i, "denoising" (phase 3)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def smooth_map(class_map: NDArray[np.float32], sigma: float, photo_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Smooth one class map at its own resolution, before it is brought to the photo.

    The paper smooths at the photo's size. Here the map is smoothed where it has fewest pixels: restoring it is linear,
    so that the result is the same but for the order of two blurs. The photo was squashed to the network's input, so a
    round Gaussian in the photo is an oval one in the map: each axis has its own sigma in cells. A sigma below about a
    quarter of a cell changes nothing: a map is never sharper than its cells. The border reflects, so that an object
    that touches it does not fade there.

    Args:
        class_map: (h', w') float32, at least 0. Not modified.
        sigma: Standard deviation as a fraction of the photo's long side.
        photo_hw: H and W of the photo.
    Returns:
        (h', w') float32, divided by its own maximum and multiplied by that of ``class_map``, which is 1 for most
        methods: thresholds keep their meaning. A map of zeros stays one.
    """
    smoothed = blur_map(class_map, sigma, photo_hw)  # (h', w')
    highest = smoothed.max()
    return np.asarray(smoothed / highest * class_map.max() if highest > 0 else smoothed, np.float32)


def blur_map(class_map: NDArray[np.float32], sigma: float, photo_hw: tuple[int, int]) -> NDArray[np.float32]:
    """The same, but never scaled: probabilities stay what they are."""
    sigma_y, sigma_x = sigmas_in_cells(sigma, photo_hw, class_map.shape)
    smoothed = cv2.GaussianBlur(class_map, (0, 0), sigma_x, sigmaY=sigma_y, borderType=cv2.BORDER_REFLECT)  # (h', w')
    return np.asarray(smoothed, np.float32)


def sigmas_in_cells(sigma: float, photo_hw: tuple[int, int], map_hw: tuple[int, ...]) -> tuple[float, float]:
    """Of rows and of columns, each at most the map's side: there the reflected blur is flat to one percent.

    In a photo of 1 x 3000 pixels a round Gaussian reaches over thousands of maps, and would cost as much.
    """
    sigma_y, sigma_x = (
        min(sigma * max(photo_hw) * cells / px, cells) for cells, px in zip(map_hw, photo_hw, strict=True)
    )
    return sigma_y, sigma_x
