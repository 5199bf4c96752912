"""A VOC-layout folder of drawn photos: a red cat or a green dog on grey, of random size and place."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from tests.helpers.tiny_voc import save_mask

COLOURS = {"cat": (8, (220, 30, 30)), "dog": (12, (30, 200, 30))}  # mask value, colour
SPLITS = {"train": 12, "choice": 6, "val": 6}


def write_drawn_voc(folder: Path, seed: int = 0) -> Path:
    root = folder / "VOCdevkit" / "VOC2012"
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / name).mkdir(parents=True)
    rng = np.random.default_rng(seed)
    boxes: dict[str, list[dict[str, object]]] = {}
    for split, count in SPLITS.items():
        ids = [f"{split}{index:02d}" for index in range(count)]
        for index, image_id in enumerate(ids):
            name = ("cat", "dog")[index % 2]
            boxes[image_id] = [{"class": name, "bbox_xyxy": _draw(root, image_id, name, rng)}]
        (root / "ImageSets/Segmentation" / f"{split}.txt").write_text("\n".join(ids) + "\n")
    (root / "boxes.json").write_text(json.dumps(boxes))
    return folder


def _draw(root: Path, image_id: str, name: str, rng: np.random.Generator) -> list[int]:
    value, colour = COLOURS[name]
    rgb = np.clip(rng.normal(120, 8, (64, 96, 3)), 0, 255).astype(np.uint8)
    mask = np.zeros((64, 96), np.uint8)
    height, width = (int(length) for length in rng.integers(24, 40, 2))
    y0, x0 = int(rng.integers(0, 64 - height)), int(rng.integers(0, 96 - width))
    rgb[y0 : y0 + height, x0 : x0 + width] = colour
    mask[y0 : y0 + height, x0 : x0 + width] = value
    Image.fromarray(rgb).save(root / "JPEGImages" / f"{image_id}.jpg", quality=95, subsampling=0)
    save_mask(mask, root / "SegmentationClass" / f"{image_id}.png")
    return [x0, y0, x0 + width, y0 + height]
