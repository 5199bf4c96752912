"""What a checkpoint of ``python -m training`` says about itself, beside its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from weakseg.errors import ModelError
from weakseg.models.state import DAMAGE

Rgb = tuple[float, float, float]
FIELDS = ("network", "classes", "hw", "mean", "std", "multi_label")


@dataclass(frozen=True)
class CheckpointMetadata:
    """What must never part company with the weights."""

    network: str  # a name for `weakseg.models.classifier.build_network`; of a pixel network for `build_pixel_network`
    classes: tuple[str, ...]  # (C); of a pixel network without the background, which is its output 0
    hw: tuple[int, int]  # network input, pixels
    mean: Rgb  # of RGB in [0, 1]
    std: Rgb
    multi_label: bool
    pixels: bool = False  # whether it labels every pixel, and is no classifier
    network_options: Mapping[str, Any] = field(default_factory=dict)  # of a pixel network
    max_side: int | None = None  # of a pixel network: the long side at which photos are fed when served, pixels


def read_metadata(path: Path) -> CheckpointMetadata | None:
    """What the checkpoint says about itself; None for a bare state dict, and for what cannot be read at all.

    Only tensors and plain values are unpickled, never code.

    Raises:
        ModelError: it names a network, but lacks the rest.
    """
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, *DAMAGE):
        return None  # whoever reads the weights says what is wrong with the file
    if not isinstance(content, Mapping) or not isinstance(content.get("network"), str):
        return None
    missing = [name for name in FIELDS if name not in content]
    if missing:
        raise ModelError(f"{path} names its network, {content['network']!r}, but not its {missing[0]!r}.")
    height, width = content["hw"]
    return CheckpointMetadata(
        network=content["network"],
        classes=tuple(str(name) for name in content["classes"]),
        hw=(int(height), int(width)),
        mean=_rgb(content["mean"]),
        std=_rgb(content["std"]),
        multi_label=bool(content["multi_label"]),
        pixels=bool(content.get("pixels", False)),
        network_options=dict(content.get("network_options") or {}),
        max_side=int(content["max_side"]) if content.get("max_side") else None,
    )


def _rgb(values: Any) -> Rgb:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
