"""VGG16 as a fully convolutional network that is trained on image labels: the network of DCSM."""

from __future__ import annotations

from collections.abc import Mapping

import torchvision
from torch import Tensor, nn

from weakseg.models.aggregation import Maximum

ANCESTOR = "vgg16"  # torchvision's network whose weights it can start from
_CONVOLUTIONS = {"classifier.0": "fc6", "classifier.3": "fc7", "classifier.6": "head"}
_KERNELS = {"fc6": 7, "fc7": 1, "head": 1}


class Vgg16Fcn(nn.Module):
    """VGG16 whose fully connected layers are convolutions, and global max pooling of the class map.

    DCSM paper, "Fully Convolutional Network" and "(1) Experiment": any input size, dense feature maps, image labels by
    global pooling. Differs in that fc6 is padded by 3 cells: the class map then has the size of the feature map, and
    inputs smaller than 224 pixels work. A cell whose 7 x 7 window lies inside sees what VGG16's classifier sees.

    Input (B, 3, h, w) float32, any h and w from 32 on; output (B, C) logits.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.features = torchvision.models.vgg16(weights=None).features  # (B, 512, h / 32, w / 32)
        self.fc6 = nn.Conv2d(512, 4096, _KERNELS["fc6"], padding=3)
        self.relu6 = nn.ReLU(inplace=True)
        self.dropout6 = nn.Dropout()
        self.fc7 = nn.Conv2d(4096, 4096, _KERNELS["fc7"])
        self.relu7 = nn.ReLU(inplace=True)
        self.dropout7 = nn.Dropout()
        self.head = nn.Conv2d(4096, num_classes, _KERNELS["head"])
        self.aggregate = Maximum()
        _initialise(self)

    def class_map(self, images: Tensor) -> Tensor:
        """(B, 3, h, w) to logits (B, C, h / 32, w / 32)."""
        hidden = self.dropout6(self.relu6(self.fc6(self.features(images))))
        hidden = self.dropout7(self.relu7(self.fc7(hidden)))
        logits: Tensor = self.head(hidden)
        return logits

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.aggregate(self.class_map(images))
        return scores  # (B, C)


def _initialise(network: Vgg16Fcn) -> None:
    """He's initialisation, which keeps signals alive through sixteen layers; near zero for the class map."""
    for layer in (network.fc6, network.fc7):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    nn.init.normal_(network.head.weight, std=0.01)
    nn.init.zeros_(network.head.bias)  # type: ignore[arg-type]


def adapt_vgg16(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's VGG16 state dict with its classifier as convolutions; one of `Vgg16Fcn` as it is."""
    adapted = dict(state)
    for linear, convolution in _CONVOLUTIONS.items():
        if f"{linear}.weight" in adapted:
            weight, side = adapted.pop(f"{linear}.weight"), _KERNELS[convolution]
            adapted[f"{convolution}.weight"] = weight.reshape(len(weight), -1, side, side)  # (out, in, side, side)
            adapted[f"{convolution}.bias"] = adapted.pop(f"{linear}.bias")
    return adapted


def build_vgg16_fcn(num_classes: int) -> nn.Module:
    """See `Vgg16Fcn`."""
    return Vgg16Fcn(num_classes)
