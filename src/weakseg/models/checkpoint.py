"""What a checkpoint of ``python -m training`` says about itself, beside its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field, FiniteFloat, TypeAdapter, ValidationError

from weakseg.errors import ModelError
from weakseg.models.state import DAMAGE

Rgb = tuple[FiniteFloat, FiniteFloat, FiniteFloat]
_Deviation = Annotated[FiniteFloat, Field(gt=0)]
_Names = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
_Side = Annotated[int, Field(ge=1)]
FIELDS = ("network", "classes", "hw", "mean", "std", "multi_label")


@dataclass(frozen=True)
class CheckpointMetadata:
    """What must never part company with the weights."""

    network: str  # a name for `weakseg.models.classifier.build_network`; of a pixel network for `build_pixel_network`
    classes: _Names  # (C); of a pixel network without the background, which is its output 0
    hw: tuple[_Side, _Side]  # network input, pixels
    mean: Rgb  # of RGB in [0, 1]
    std: tuple[_Deviation, _Deviation, _Deviation]
    multi_label: bool
    pixels: bool = False  # whether it labels every pixel, and is no classifier
    network_options: Mapping[str, Any] = field(default_factory=dict)  # of a pixel network
    max_side: _Side | None = None  # of a pixel network: the long side at which photos are fed when served, pixels


def read_metadata(path: Path) -> CheckpointMetadata | None:
    """What the checkpoint says about itself; None for a bare state dict, and for what cannot be read at all.

    Only tensors and plain values are unpickled, never code.

    Raises:
        ModelError: it names a network, but lacks the rest, or has a value that makes no sense.
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
    said = {name: content[name] for name in _ALL_FIELDS if content.get(name) is not None}
    try:
        return _CHECK.validate_python(said)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        raise ModelError(
            f"{path}: {name} = {said.get(name)!r:.80}: {first['msg']}. Write it as `python -m training` does."
        ) from error


_ALL_FIELDS = tuple(field.name for field in fields(CheckpointMetadata))
_CHECK = TypeAdapter(CheckpointMetadata)
