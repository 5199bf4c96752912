"""Classifiers that score every position by themselves: a class map, and an aggregation that makes scores of it.

Such a network has a method ``class_map`` and a module ``aggregate``, and its forward pass is no more than both:
``logits = aggregate(class_map(images))``. That is compared before it is trusted.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from weakseg.errors import UnsupportedNetworkError
from weakseg.models.grid import Grid, find_grid
from weakseg.models.own import OWN_NETWORKS
from weakseg.models.split import CHECK_HW, CHECK_TOLERANCE
from weakseg.models.tracing import trace_network


@dataclass(frozen=True)
class ClassMapNetwork:
    """A classifier as ``logits = aggregate(class_map(images))``."""

    name: str
    class_map: nn.Module  # (B, 3, h, w) float32 -> (B, C, h', w') logits
    aggregate: nn.Module  # (B, C, h', w') -> (B, C) logits
    class_count: int
    grid: Grid  # where the cells of the class map lie in the input


class _ClassMap(nn.Module):
    """A network's class map as its forward pass."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.network.class_map(images)  # type: ignore[operator]
        return found


def has_class_map(model: nn.Module) -> bool:
    """Whether a network makes class maps by itself."""
    return callable(getattr(model, "class_map", None)) and isinstance(getattr(model, "aggregate", None), nn.Module)


def find_class_map(model: nn.Module, name: str) -> ClassMapNetwork:
    """Take a network's class map and its aggregation apart.

    Args:
        model: Any classifier (B, 3, h, w) -> (B, C). It is copied, and left as it was, training mode included.
        name: For messages.
    Raises:
        UnsupportedNetworkError: the network has no class map, or its forward pass is more than the map's aggregation.
    """
    if not has_class_map(model):
        known = ", ".join(own for own, network in OWN_NETWORKS.items() if network.has_class_map)
        raise UnsupportedNetworkError(
            f"{name} has no class map that its scores are aggregated from. These have: {known}. For other networks, "
            "class activation maps (method cam) or gradients (saliency, layercam ...) say where the classes are."
        )
    class_map = trace_network(_ClassMap(model), name)
    aggregate = copy.deepcopy(model.get_submodule("aggregate")).eval().requires_grad_(False)
    class_count = _verify(model, class_map, aggregate, name)
    return ClassMapNetwork(name, class_map, aggregate, class_count, find_grid(class_map))


def _verify(model: nn.Module, class_map: nn.Module, aggregate: nn.Module, name: str) -> int:
    """Compare the parts with the whole on a random image. Returns the number of classes."""
    images = torch.randn(1, 3, *CHECK_HW, generator=torch.Generator().manual_seed(0))  # (1, 3, h, w)
    with torch.no_grad():
        expected = copy.deepcopy(model).eval()(images)  # (1, C)
        found = aggregate(class_map(images))  # (1, C)
    difference = float((expected - found).abs().max())
    if not difference <= CHECK_TOLERANCE * max(1.0, float(expected.abs().max())):
        raise UnsupportedNetworkError(
            f"{name}: the aggregation of its class map gives logits that differ by {difference:.2g} from the network's "
            "own. Its forward pass must be aggregate(class_map(images)), and nothing else."
        )
    return int(expected.shape[1])
