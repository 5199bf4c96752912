"""A VOC-layout folder of two drawn photos, 96 x 64 and 64 x 96, whose counts the tests know by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from weakseg.voc import VOID, palette

CAT, HORSE = 8, 13  # VOC's numbers
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)

# Rectangles as (y0, y1, x0, x1), on grids that JPEG and a network input of 32 x 48 keep exact.
Rectangle = tuple[int, int, int, int]
PHOTOS: dict[str, tuple[tuple[int, int], list[tuple[Rectangle, tuple[int, int, int]]], list[tuple[Rectangle, int]]]] = {
    # A cat of 32 x 32, void on its right, and sky. Red begins 8 pixels too far right and goes on 8 beyond the void.
    "wide": (
        (64, 96),
        [((16, 48, 24, 64), RED), ((0, 16, 0, 96), BLUE)],
        [((16, 48, 16, 48), CAT), ((16, 48, 48, 56), VOID)],
    ),
    # A cat of 24 x 32, and a horse that is painted like a dog.
    "tall": (
        (96, 64),
        [((24, 48, 8, 40), RED), ((72, 96, 0, 48), GREEN)],
        [((24, 48, 8, 40), CAT), ((72, 96, 0, 48), HORSE)],
    ),
}
BOXES = {
    # A quarter of the cat, on its right, is outside.
    "wide": [{"class": "cat", "bbox_xyxy": [16, 16, 40, 48]}],
    "tall": [{"class": "cat", "bbox_xyxy": [0, 16, 48, 56]}],
}


def write_voc(folder: Path) -> Path:
    """``folder/VOCdevkit/VOC2012`` with split ``val``, and ``wide`` alone as split ``train``."""
    root = folder / "VOCdevkit" / "VOC2012"
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / name).mkdir(parents=True)
    for image_id, (hw, drawn, labelled) in PHOTOS.items():
        rgb, mask = np.zeros((*hw, 3), np.uint8), np.zeros(hw, np.uint8)
        for (y0, y1, x0, x1), colour in drawn:
            rgb[y0:y1, x0:x1] = colour
        for (y0, y1, x0, x1), value in labelled:
            mask[y0:y1, x0:x1] = value
        Image.fromarray(rgb).save(root / "JPEGImages" / f"{image_id}.jpg", quality=95, subsampling=0)
        save_mask(mask, root / "SegmentationClass" / f"{image_id}.png")
    (root / "ImageSets/Segmentation/val.txt").write_text("\n".join(PHOTOS) + "\n")
    (root / "ImageSets/Segmentation/train.txt").write_text("wide\n")
    (root / "boxes.json").write_text(json.dumps(BOXES))
    return folder


def save_mask(mask: NDArray[np.uint8], path: Path) -> None:
    picture = Image.fromarray(mask)
    picture.putpalette(palette().tobytes())
    picture.save(path)
