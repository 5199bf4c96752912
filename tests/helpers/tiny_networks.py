"""Networks whose class activation maps can be worked out on paper."""

import torch
from torch import Tensor, nn

HEAD_WEIGHT = ((1.0, -1.0), (0.5, 0.25), (0.0, 1.0))  # (C, F): three classes of two features
HEAD_BIAS = (0.5, 0.0, -1.0)


class RedGreenNet(nn.Module):
    """Features: the red and the green channel as they are. Pooling, then a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.features = red_and_green()
        self.head = nn.Linear(2, 3)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor(HEAD_WEIGHT))
            self.head.bias.copy_(torch.tensor(HEAD_BIAS))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images).mean((2, 3)))


class RectifiedNet(nn.Module):
    """The same head as SqueezeNet has it: 1x1 convolution, ReLU, pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.features = red_and_green()
        self.head = nn.Conv2d(2, 3, 1)
        self.pool = nn.Sequential(nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten())
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor(HEAD_WEIGHT)[:, :, None, None])
            self.head.bias.copy_(torch.tensor(HEAD_BIAS))

    def forward(self, images: Tensor) -> Tensor:
        return self.pool(self.head(self.features(images)))


class LeftNeighbourNet(nn.Module):
    """One feature, one class: red, without the last column. Not symmetric, so a mirrored view sees something else."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 1, (1, 2), bias=False)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(1, 1)
        with torch.no_grad():
            self.features.weight.zero_()[0, 0, 0, 0] = 1
            self.head.weight.fill_(1)
            self.head.bias.zero_()

    def forward(self, images: Tensor) -> Tensor:
        return self.head(torch.flatten(self.pool(self.features(images)), 1))


def red_and_green() -> nn.Conv2d:
    convolution = nn.Conv2d(3, 2, 1, bias=False)
    with torch.no_grad():
        convolution.weight.zero_()[0, 0] = 1
        convolution.weight[1, 1] = 1
    return convolution


class ColourMapNet(nn.Module):
    """The same head as a class map of its own, and an aggregation of it."""

    def __init__(self, aggregate: nn.Module) -> None:
        super().__init__()
        self.features = red_and_green()
        self.class_convolution = nn.Conv2d(2, 3, 1)
        self.aggregate = aggregate
        with torch.no_grad():
            self.class_convolution.weight.copy_(torch.tensor(HEAD_WEIGHT)[:, :, None, None])
            self.class_convolution.bias.copy_(torch.tensor(HEAD_BIAS))

    def class_map(self, images: Tensor) -> Tensor:
        return self.class_convolution(self.features(images))

    def forward(self, images: Tensor) -> Tensor:
        return self.aggregate(self.class_map(images))
