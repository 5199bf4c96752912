"""Masks for round trips: random noise, and shapes like those that refinement leaves."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

noise_masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))
label_maps = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))
object_seeds = st.integers(0, 10_000)


def draw_object(seed: int, height: int = 240, width: int = 400) -> NDArray[np.bool_]:
    """(height, width): blobs with rough edges, holes, islands in the holes and thin diagonal whiskers."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((height, width), np.uint8)
    centre = (int(rng.integers(120, 280)), int(rng.integers(80, 160)))
    angle = float(rng.uniform(0, 180))
    cv2.ellipse(mask, centre, (110, 70), angle, 0, 360, 1, -1)
    cv2.ellipse(mask, centre, (44, 28), angle, 0, 360, 0, -1)
    cv2.circle(mask, centre, 12, 1, -1)
    rough = cv2.GaussianBlur(rng.normal(size=mask.shape), (0, 0), 2) > 0.25
    edge = cv2.dilate(mask, np.ones((5, 5))) != cv2.erode(mask, np.ones((5, 5)))
    mask[edge & rough] ^= 1
    cv2.line(mask, (0, 0), centre, 1, 1)
    return mask.astype(bool)
