"""A folder of drawings with their masks, and a recipe that learns them within seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tests.helpers.drawn_photos import HW
from training.drawings import CLASSES, draw
from training.recipe import Recipe

KINDS = ("disc", "star")
SPEC = "C3,8,2C3,8,1M2C3,8,1"


def write_masks(root: Path, per_split: int = 6) -> Path:
    """``root/images``, ``root/masks`` (1 disc, 2 star) and the lists of both splits; objects are bright and plain."""
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for split in ("train", "val"):
        names = [f"{split}{number}" for number in range(per_split)]
        for number, name in enumerate(names):
            drawing = draw(rng, HW, [KINDS[number % 2]])
            mask = np.zeros(HW, np.uint8)
            for value, kind in enumerate(KINDS, 1):
                mask[drawing.label_map == 1 + CLASSES.index(kind)] = value
            rgb = drawing.background // 3
            rgb[mask > 0] = np.uint8([[250, 60, 60], [60, 250, 60]])[mask[mask > 0] - 1]
            Image.fromarray(rgb).save(root / "images" / f"{name}.png")
            Image.fromarray(mask).save(root / "masks" / f"{name}.png")
        (root / f"{split}.txt").write_text("\n".join(names), encoding="utf-8")
    return root


def pixel_recipe(**changes: object) -> Recipe:
    """A conv-deconv network of three layers at 32 x 40, with everything random that masks allow."""
    values = {
        "network": "conv_deconv",
        "network_options": {"spec": SPEC, "skips": True, "batch_norm": True},
        "task": "pixels",
        "classes": KINDS,
        "init": "random",
        "input_hw": (32, 40),
        "mean": 0.5,
        "std": 0.5,
        "turn": 10,
        "zoom": (0.9, 1.1),
        "jitter": 0.1,
        "dice": 0.5,
        "epochs": 3,
        "batch": 3,
        "learning_rate": 0.01,
        "schedule": "cosine",
        "ema": 0.5,
    }
    return Recipe.model_validate({**values, **changes})
