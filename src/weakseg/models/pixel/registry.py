"""Pixel networks by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from weakseg.errors import ModelError, UnsupportedNetworkError


@dataclass(frozen=True)
class PixelNetwork:
    """A network that labels every pixel: (B, 3, h, w) float32, normalised, to logits (B, O, h, w)."""

    build: Callable[..., nn.Module]  # outputs, then its options by name
    ancestor: str | None = None  # torchvision's network whose ImageNet weights it can start from
    adapt: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] = dict  # the ancestor's state dict to its own names
    options: Mapping[str, str] = field(default_factory=dict)  # name to description


PIXEL_NETWORKS: Mapping[str, PixelNetwork] = {}


def build_pixel_network(name: str, outputs: int, options: Mapping[str, Any] | None = None) -> nn.Module:
    """A network with random weights.

    Raises:
        UnsupportedNetworkError: no such network.
        ModelError: an option that it has not.
    """
    if name not in PIXEL_NETWORKS:
        raise UnsupportedNetworkError(f"There is no pixel network {name!r}. Names: {', '.join(PIXEL_NETWORKS)}.")
    network = PIXEL_NETWORKS[name]
    unknown = set(options or {}) - set(network.options)
    if unknown:
        raise ModelError(
            f"{name} has no option {sorted(unknown)[0]!r}. It has: {', '.join(network.options) or 'none'}."
        )
    return network.build(outputs, **(options or {}))
