"""Load a network that labels every pixel from a checkpoint of ``python -m training``, ready for export."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import nn

from weakseg.card import Weights
from weakseg.errors import ModelError
from weakseg.models.checkpoint import CheckpointMetadata, Rgb, read_metadata
from weakseg.models.classifier import Normalisation, read_class_names
from weakseg.models.pixel.registry import build_pixel_network
from weakseg.models.state import fill_network, hash_file, read_state_dict
from weakseg.options import MAX_SIDE


@dataclass(frozen=True)
class PixelModel:
    """A pixel network that is ready for export, and what must never part company with its weights.

    Its counterpart is :class:`weakseg.models.classifier.Classifier`.
    """

    network: str
    network_options: Mapping[str, Any]
    model: nn.Module  # (B, 3, h, w) float32, normalised -> (B, C + 1, h, w) logits, background first; in eval mode
    classes: tuple[str, ...]  # (C), without the background
    normalisation: Normalisation
    max_side: int  # long side at which photos are fed when served, pixels
    weights: Weights
    doubt: ClassVar[str] = ""
    multi_label: ClassVar[bool] = False  # one label per pixel


def is_pixel_checkpoint(path: Path) -> bool:
    """Whether a checkpoint says of itself that its network labels pixels.

    Raises:
        ModelError: it names a network, but lacks the rest, or has a value that makes no sense.
    """
    said = read_metadata(path)
    return said is not None and said.pixels


def load_pixel_model(
    path: Path,
    *,
    classes: Path | None = None,
    mean: Rgb | None = None,
    std: Rgb | None = None,
    licence: str | None = None,
) -> PixelModel:
    """A pixel network with the weights of a checkpoint, which names its network, classes, size, mean and std.

    Args:
        classes: Other names for the checkpoint's classes, as in `weakseg.models.classifier.load_classifier`.
        mean, std: Of RGB in [0, 1]; instead of the checkpoint's.
        licence: Overrides the licence in the model card.
    Raises:
        UnsupportedNetworkError: no such network.
        ModelError: no checkpoint of a pixel network; weights or names that do not fit it; has the first difference.
    """
    said = read_metadata(path)
    state = read_state_dict(path)  # says what is wrong with a file that cannot be read at all
    if said is None or not said.pixels:
        found = f"a checkpoint of {said.network}" if said else "a bare state dict"
        raise ModelError(
            f"{path} is {found}, and does not say that it labels pixels (pixels: True), as those that "
            "`python -m training` writes do."
        )
    names = _choose_names(said, classes)
    model = build_pixel_network(said.network, len(names) + 1, said.network_options)
    fill_network(model, state, f"{path} does not fit {said.network} with options {dict(said.network_options)}")
    return PixelModel(
        network=said.network,
        network_options=said.network_options,
        model=model.eval(),
        classes=names,
        normalisation=Normalisation(mean or said.mean, std or said.std, said.hw),
        max_side=said.max_side or min(max(said.hw), MAX_SIDE),
        weights=Weights(source=f"checkpoint {path.name}", licence=licence or "not stated", sha256=hash_file(path)),
    )


def _choose_names(said: CheckpointMetadata, classes: Path | None) -> tuple[str, ...]:
    names = read_class_names(classes) if classes else said.classes
    if len(names) != len(said.classes):
        raise ModelError(
            f"{classes} has {len(names)} class names; {said.network} with these weights has {len(said.classes)} classes"
            f" beside the background: {', '.join(said.classes[:5])}."
        )
    return names
