"""Folders of drawings to train on: as classes, as VOC, as CSV."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from training.drawings import draw
from training.recipe import Recipe

KINDS = ("disc", "star", "triangle")
HW = (40, 56)
TINTS = np.uint8([[90, 0, 0], [0, 90, 0], [0, 0, 90]])  # a network learns these within seconds


def write_folders(root: Path, per_class: int = 8, *, splits: tuple[str, ...] = ("train", "val")) -> Path:
    """``root/SPLIT/KIND/NUMBER.png``: one object each, in a tint of its class."""
    rng = np.random.default_rng(0)
    for split in splits:
        for kind, tint in zip(KINDS, TINTS, strict=True):
            (root / split / kind).mkdir(parents=True)
            for number in range(per_class):
                rgb = draw(rng, HW, [kind]).rgb // 2 + tint
                Image.fromarray(rgb).save(root / split / kind / f"{number}.png")
    return root


def write_csv(root: Path, per_class: int = 4) -> Path:
    """A table of drawings with one or two objects, with splits."""
    rng, lines = np.random.default_rng(1), ["path,labels,split"]
    (root / "photos").mkdir(parents=True)
    for split in ("train", "val"):
        for number in range(per_class * len(KINDS)):
            shown = [KINDS[number % 3]] if number % 2 else [KINDS[number % 3], KINDS[(number + 1) % 3]]
            Image.fromarray(draw(rng, HW, shown).rgb).save(root / "photos" / f"{split}{number}.png")
            lines.append(f"photos/{split}{number}.png,{';'.join(shown)},{split}")
    table = root / "labels.csv"
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return table


def tiny_recipe(**changes: object) -> Recipe:
    """Seconds of training: the demonstration network at 32 x 40, with everything random that a recipe can ask for."""
    values = {
        "network": "demo",
        "init": "random",
        "task": "multi_label",
        "input_hw": (32, 40),
        "mean": 0.5,
        "std": 0.5,
        "crop": (0.5, 1.0),
        "jitter": 0.2,
        "resize": (0.8, 1.6),
        "epochs": 3,
        "batch": 5,
        "learning_rate": 0.01,
        "head_rate": 2.0,
        "weight_decay": 0.01,
        "schedule": "cosine",
        "warmup_epochs": 0.5,
        "ema": 0.9,
    }
    return Recipe.model_validate({**values, **changes})
