"""The naive service around a class map that is known: what is compared must be right, too."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from benchmarks.naive import INPUT_PX, Recipe, naive_mask

RECIPE = Recipe(levels=(0.1, 0.5, 0.9), iterations=1, side_px=40, threshold=0.5)


def _object_on_the_left() -> bytes:
    """80 x 60, red in the left quarter, noisy enough for colour models."""
    rgb = np.random.default_rng(0).integers(0, 30, (60, 80, 3), np.uint8)
    rgb[:, :20, 0] += 200
    rgb[:, 20:, 2] += 200
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG")
    return buffer.getvalue()


def _map_of_left_half(*, input_tensor: object, targets: None) -> np.ndarray:
    class_map = np.full((1, INPUT_PX, INPUT_PX), 0.3, np.float32)
    class_map[:, :, : INPUT_PX // 2] = 0.7
    return class_map


@pytest.mark.parametrize(("refine", "object_width"), [(False, 40), (True, 20)])
def test_mask_of_the_photos_size(refine: bool, object_width: int) -> None:
    """The threshold keeps the map's half of the photo; GrabCut finds the red quarter within."""
    png = naive_mask(_object_on_the_left(), _map_of_left_half, RECIPE, refine=refine)
    mask = np.asarray(Image.open(io.BytesIO(png)))
    expected = np.zeros((60, 80), np.uint8)
    expected[:, :object_width] = 1
    np.testing.assert_array_equal(mask, expected)
