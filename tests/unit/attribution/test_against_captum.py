"""Saliency and guided backprop on a real network's shape, against captum."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.helpers.queries import as_tensors, ask
from weakseg.attribution.guided import GuidedGraph, GuidedSettings
from weakseg.attribution.saliency import SaliencyGraph, SaliencySettings
from weakseg.labels import Vocabulary
from weakseg.models.classifier import IMAGENET_MEAN, IMAGENET_STD, build_network

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from captum.attr import GuidedBackprop, Saliency

VOCABULARY = Vocabulary([str(index) for index in range(7)])
LABELS = [[3, 0, 6], [1, 4, 4]]  # (B, K)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return build_network("squeezenet1_1", 7).eval()


def normalised(images: Tensor) -> Tensor:
    """(B, h, w, 3) uint8 to (B, 3, h, w) float32."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (images.permute(0, 3, 1, 2) / 255 - mean) / std  # type: ignore[no-any-return]


def captum_maps(method: type, network: nn.Module, images: Tensor) -> Tensor:
    """(B, K, h, w), each divided by its maximum."""
    network = copy.deepcopy(network)
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False  # captum's hooks cannot stand it
    attribute = method(network).attribute
    maps = []
    for label in range(len(LABELS[0])):
        target = torch.tensor([row[label] for row in LABELS])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gradients = attribute(normalised(images).requires_grad_(), target=target)
        maps.append(gradients.abs().amax(1))  # (B, h, w)
    stacked = torch.stack(maps, 1).detach()  # (B, K, h, w)
    return stacked / stacked.amax((2, 3), keepdim=True).clamp(min=1e-12)


@pytest.mark.parametrize(
    ("make", "settings", "oracle"),
    [(SaliencyGraph, SaliencySettings(), Saliency), (GuidedGraph, GuidedSettings(), GuidedBackprop)],
    ids=["saliency", "guided"],
)
def test_maps_are_captums(make: Any, settings: Any, oracle: type, network: nn.Module) -> None:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (2, 80, 112, 3), dtype=torch.uint8, generator=generator)
    mean_std = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}
    graph = make(network, "squeezenet1_1", VOCABULARY, settings=settings, **mean_std)
    with torch.no_grad():
        _, maps, _ = graph(images, *as_tensors(ask(LABELS, VOCABULARY)))
    assert (maps.amax((2, 3)) == 1).sum() >= 4, "most classes have a map"
    torch.testing.assert_close(maps, captum_maps(oracle, network, images), rtol=0, atol=1e-5)
