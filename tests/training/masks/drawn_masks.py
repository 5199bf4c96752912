"""Small data sets with masks: coloured rectangles, and pale objects on #f5f5f5."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.helpers.drawn_photos import tiny_recipe
from training.recipe import Recipe

HW = (24, 36)
PAPER = 245  # #f5f5f5
Pixels = NDArray[np.uint8]


def pixel_recipe(**changes: object) -> Recipe:
    """Of photos with masks, 32 x 40, without anything random."""
    plain = {"crop": None, "flip": False, "jitter": 0.0, "resize": None}
    return tiny_recipe(**{**plain, **changes})


def save(pixels: Pixels, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def write_masks(root: Path, masks: Mapping[str, Pixels], suffix: str = ".png") -> Path:
    """``images/NAME.png``, in which the mask's first channel shows as red, and ``masks/NAME``."""
    for name, mask in masks.items():
        red = mask if mask.ndim == 2 else mask[..., 0]
        save(np.stack([red, red // 2, np.full_like(red, 80)], axis=2), root / "images" / f"{name}.png")
        save(mask, root / "masks" / f"{name}{suffix}")
    return root


def two_halves(left: int, right: int, hw: tuple[int, int] = HW) -> Pixels:
    mask = np.full(hw, left, np.uint8)
    mask[:, hw[1] // 2 :] = right
    return mask


def on_paper(hw: tuple[int, int] = (80, 120)) -> Pixels:
    return np.full((*hw, 3), PAPER, np.uint8)


def write_shoes(root: Path, count: int = 12) -> Path:
    """Photos of dark rectangles on #f5f5f5; each of a width of its own."""
    for number in range(count):
        rgb = on_paper((48, 64))
        rgb[14:34, 10 : 40 + number] = (150, 40 + 5 * number, 30)
        save(rgb, root / f"shoe_{number:02d}.png")
    return root


def write_scenes(root: Path, count: int = 12) -> Path:
    """Photos of one colour, blue and green only: no red of their own."""
    for number in range(count):
        rgb = np.zeros((60, 90, 3), np.uint8)
        rgb[..., 1:] = 60 + 10 * number
        save(rgb, root / f"scene_{number:02d}.png")
    return root
