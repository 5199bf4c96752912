"""A small archive made by the real export: SqueezeNet with six classes and random weights."""

from __future__ import annotations

from pathlib import Path

import torch

from export.build import build_archive
from tests.helpers.fakes import CLASSES
from weakseg.models.classifier import load_classifier

GROUPS = {"cat": [0, 1], "dog": [2]}


def build_tiny_archive(directory: Path, *, name: str = "tiny_cam", version: str = "7.1") -> Path:
    """``directory/name.mar`` with the classes of ``tests.helpers.fakes`` and a network input of 64 x 96."""
    names = directory / "classes.txt"
    names.write_text("\n".join(CLASSES), encoding="utf-8")
    state = torch.random.get_rng_state()
    torch.manual_seed(0)
    classifier = load_classifier("squeezenet1_1", "random", classes=names)
    torch.random.set_rng_state(state)
    card_fields = {"version": version}
    built = build_archive(
        classifier, name=name, directory=directory, groups=GROUPS, hw=(64, 96), card_fields=card_fields
    )
    return built.path
