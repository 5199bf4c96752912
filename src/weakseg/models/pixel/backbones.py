"""Classifiers as FCN sees them: features at strides 8, 16 and 32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torchvision
from torch import Tensor, nn

from weakseg.models.pixel.checks import check_channels, check_dropout, check_width
from weakseg.models.pixel.vgg import POOLS, initialise, scale_channels, vgg_features

_MOBILENET_TAPS = (6, 13, 18)  # the last layers of its features at strides 8, 16 and 32

Pyramid = tuple[Tensor, Tensor, Tensor]  # (B, c8, h / 8, w / 8), (B, c16, h / 16, w / 16), (B, c32, h / 32, w / 32)


class Backbone(Protocol):
    """What `weakseg.models.pixel.fcn.Fcn` needs of a classifier; h and w are multiples of 32."""

    channels: tuple[int, int, int]  # of the features at strides 8, 16 and 32
    centred: bool  # where cells lie: see `weakseg.models.pixel.bilinear.LearnedUpsampling`

    def __call__(self, images: Tensor) -> Pyramid: ...


class VggBackbone(nn.Module):
    """VGG16: pool3, pool4, and fc7 as a convolution. Layers have the names of `weakseg.models.vgg16_fcn.Vgg16Fcn`.

    fc6 is a 7 x 7 convolution padded by 3 cells: see `Vgg16Fcn`.
    """

    centred = True

    def __init__(self, width: float = 1.0, fc_channels: int | None = None, dropout: float = 0.5) -> None:
        super().__init__()
        hidden = scale_channels(4096, width) if fc_channels is None else check_channels("fc_channels", fc_channels)
        self.channels = (scale_channels(256, width), scale_channels(512, width), hidden)
        self.features = vgg_features(width)
        self.fc6 = nn.Conv2d(self.channels[1], hidden, 7, padding=3)
        self.relu6 = nn.ReLU(inplace=True)
        self.dropout6 = nn.Dropout(check_dropout(dropout))
        self.fc7 = nn.Conv2d(hidden, hidden, 1)
        self.relu7 = nn.ReLU(inplace=True)
        for layer in (self.fc6, self.fc7):
            initialise(layer)

    def forward(self, images: Tensor) -> Pyramid:
        third, fourth, last = _tap(self.features, POOLS[2:], images)
        hidden = self.dropout6(self.relu6(self.fc6(last)))
        return third, fourth, self.relu7(self.fc7(hidden))


class MobileNetBackbone(nn.Module):
    """MobileNetV2: the last block at strides 8 and 16, and its last convolution (1280 channels) at stride 32.

    ``features`` is torchvision's. Its convolutions of stride 2 are padded by one cell, so that a cell lies on the first
    of the pixels that it stands for, not in their middle.
    """

    centred = False

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.features = torchvision.models.mobilenet_v2(weights=None, width_mult=check_width(width)).features
        eighth, sixteenth, last = (self.features[index] for index in _MOBILENET_TAPS)
        self.channels = (eighth.out_channels, sixteenth.out_channels, last.out_channels)

    def forward(self, images: Tensor) -> Pyramid:
        eighth, sixteenth, last = _tap(self.features, _MOBILENET_TAPS, images)
        return eighth, sixteenth, last


def _tap(features: nn.Sequential, taps: Sequence[int], images: Tensor) -> list[Tensor]:
    """What the layers with these indices write."""
    values, found = images, list[Tensor]()
    for index, layer in enumerate(features):
        values = layer(values)
        if index in taps:
            found.append(values)
    return found
