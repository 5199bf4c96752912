"""Joint classification and segmentation: a classifier's convolutions, one convolution per class, an aggregation.

Pinheiro & Collobert, *From image-level to pixel-level labeling with convolutional networks* (CVPR 2015), as the course
project on saliency, joint networks and CRFs uses it (section 3, phase 2): "adds one convolution layer for each class
directly after the initial convolutional layers ... The aggregation layer simply takes an average". Trained from labels
of whole photos, the class convolution learns where the classes are.

Differences from the course project:

- The maps are denser (``dense``): AlexNet's last pooling is left out, MobileNetV2's last stride is replaced by
  dilation, so that both have a cell for every 16 pixels instead of every 32. Weights are not touched by that.
- The project counts four convolutions of AlexNet; it has five, and all are kept.
- A class convolution has one tap (1 x 1). The project does not say how many. Behind an average all taps of a larger
  kernel see the same means, so that they would learn the same weight, and blur the map.
- Dropout before the class convolution, as the ancestors have it before their last layer.

The dense MobileNetV2 costs 0.54 billion multiply-adds at 224 px instead of 0.30.

Pinheiro & Collobert put several trained layers between the frozen convolutions and the class map, and compare classes
at each position; here each class stands for itself, as photos show several.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torchvision
from torch import Tensor, nn

from weakseg.errors import UnsupportedNetworkError
from weakseg.models.aggregation import build_aggregation

SUFFIXES = {"average": "", "log_sum_exp": "_lse", "maximum": "_max"}  # aggregation to the end of a network's name
HEAD = "class_convolution"
_STRIDED_BLOCK = 14  # of MobileNetV2's features: its depthwise convolution has the last stride


@dataclass(frozen=True)
class Backbone:
    """A classifier's convolutions."""

    build: Callable[[bool], nn.Sequential]  # dense to a network: (B, 3, h, w) -> (B, width, h', w')
    width: int
    dropout: float  # before the class convolution: the ancestor's own
    head: str = ""  # the ancestor's last layer, where it sees these features; empty: it does not


class JointNetwork(nn.Module):
    """Class maps, and class scores that are aggregated from them.

    Input (B, 3, h, w) float32, normalised, any h and w from 31 on; output (B, C) logits.

    Args:
        backbone: A name of ``BACKBONES``.
        num_classes: C.
        aggregation: A name of `weakseg.models.aggregation.AGGREGATIONS`.
        dense: A cell of the class map for every 16 pixels; otherwise for as many as the ancestor has (32; SqueezeNet
            16, with either).
    Raises:
        UnsupportedNetworkError, ModelError: no such backbone, no such aggregation.
    """

    def __init__(self, backbone: str, num_classes: int, aggregation: str = "average", *, dense: bool = True) -> None:
        super().__init__()
        if backbone not in BACKBONES:
            raise UnsupportedNetworkError(f"backbone = {backbone!r}: give one of {', '.join(BACKBONES)}.")
        chosen = BACKBONES[backbone]
        self.features = chosen.build(dense)
        self.dropout = nn.Dropout(chosen.dropout)
        self.class_convolution = nn.Conv2d(chosen.width, num_classes, 1)
        self.aggregate = build_aggregation(aggregation)
        nn.init.normal_(self.class_convolution.weight, std=0.01)  # scores start near 0
        nn.init.zeros_(self.class_convolution.bias)  # type: ignore[arg-type]

    def class_map(self, images: Tensor) -> Tensor:
        """(B, 3, h, w) to a logit per class and cell, (B, C, h', w')."""
        logits: Tensor = self.class_convolution(self.dropout(self.features(images)))
        return logits

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.aggregate(self.class_map(images))
        return scores  # (B, C)


def _build_alexnet(dense: bool) -> nn.Sequential:
    """Five convolutions. He's initialisation: torchvision's shrinks the signal with each of them."""
    layers: nn.Sequential = torchvision.models.alexnet(weights=None).features
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layers[:-1] if dense else layers  # the last one is a pooling of stride 2


def _build_squeezenet(_dense: bool) -> nn.Sequential:
    """Up to the last Fire module."""
    layers: nn.Sequential = torchvision.models.squeezenet1_1(weights=None).features
    return layers


def _build_mobilenet(dense: bool) -> nn.Sequential:
    """Up to the last convolution. Dense: what block 14 skipped is kept, and those behind it look twice as far.

    Every second cell of the denser map is, number for number, a cell of the ancestor's (Chen et al., *DeepLab*, ICLR
    2015, section 3.1: the hole algorithm).
    """
    layers: nn.Sequential = torchvision.models.mobilenet_v2(weights=None).features
    if dense:
        for block in layers[_STRIDED_BLOCK:]:
            for layer in block.modules():
                if isinstance(layer, nn.Conv2d) and layer.groups > 1:
                    _unstride(layer)
    return layers


def _unstride(depthwise: nn.Conv2d) -> None:
    """Stride 2 becomes 1; stride 1 behind it becomes dilation 2."""
    if depthwise.stride == (2, 2):
        depthwise.stride = (1, 1)
    else:
        depthwise.dilation = depthwise.padding = (2, 2)


BACKBONES: Mapping[str, Backbone] = {  # by the ancestor's name in torchvision
    "alexnet": Backbone(_build_alexnet, 256, 0.5),
    "squeezenet1_1": Backbone(_build_squeezenet, 512, 0.5, "classifier.1"),
    "mobilenet_v2": Backbone(_build_mobilenet, 1280, 0.2, "classifier.1"),
}


def joint_name(backbone: str, aggregation: str) -> str:
    """``joint_alexnet``, ``joint_mobilenet_v2_lse`` ..."""
    return f"joint_{backbone}{SUFFIXES[aggregation]}"


def adapt_ancestor(backbone: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The ancestor's state dict with its last layer as the class convolution; a joint network's as it is.

    AlexNet's fully connected layers are left out: they see all positions at once.
    """
    adapted = {name: value for name, value in state.items() if not name.startswith("classifier.")}
    for kind in ("weight", "bias"):
        value = state.get(f"{BACKBONES[backbone].head}.{kind}")
        if value is not None:
            adapted[f"{HEAD}.{kind}"] = value if value.ndim != 2 else value[:, :, None, None]  # (C, F, 1, 1)
    return adapted
