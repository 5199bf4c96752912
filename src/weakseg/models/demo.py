"""The demonstration network: small enough to be trained on two cores while a newcomer waits."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

WIDTHS = (8, 16, 32, 48, 64)  # channels after each convolution
STRIDES = (1, 2, 2, 1, 1)  # total stride 4: a 64 px input has a 16 x 16 class map


def build_demo_net(num_classes: int) -> nn.Module:
    """A plain stack of convolutions, global average pooling and one linear layer, with random weights.

    Input (B, 3, h, w) float32, normalised with mean 0.5 and standard deviation 0.5; output (B, num_classes) logits.
    Any h and w. Plain modules only, so that `torch.fx` traces it, and the class activation map
    (Zhou et al., CVPR 2016) is the last convolution's output weighted by the linear layer.
    """
    blocks = [_block(*shape) for shape in zip((3, *WIDTHS), WIDTHS, STRIDES, strict=False)]
    with (
        torch.no_grad()
    ):  # start from edge filters: flat colour says nothing about a kind, and learning is twice as fast
        first = next(blocks[0].parameters())  # (8, 3, 3, 3)
        first.sub_(first.mean(dim=(2, 3), keepdim=True))
    return nn.Sequential(
        OrderedDict(
            features=nn.Sequential(*blocks),  # (B, 64, h / 4, w / 4)
            pool=nn.AdaptiveAvgPool2d(1),  # (B, 64, 1, 1)
            flatten=nn.Flatten(),  # (B, 64)
            classifier=nn.Linear(WIDTHS[-1], num_classes),  # (B, C)
        )
    )


def _block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
