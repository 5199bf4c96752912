"""Parts of VGG16 that pixel networks share: its convolutions at any width, and their initialisation."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models.vgg import cfgs, make_layers

from weakseg.models.pixel.checks import check_width

STRIDE = 32
POOLS = (4, 9, 16, 23, 30)  # indices of pool1 to pool5 in `vgg_features`
WIDTH_HELP = "factor on all channel counts (default 1: VGG16's own, the only one that ImageNet weights fit)"
FC_HELP = "channels of fc6 and fc7 (default: 4096 x width; ImageNet weights fit 4096 only)"


def scale_channels(channels: int, width: float) -> int:
    """Channels at this width, in steps of 8 and at least 8. Raises: ModelError: see `check_width`."""
    return max(8, 8 * round(channels * check_width(width) / 8))


def vgg_features(width: float = 1.0, *, batch_norm: bool = False) -> nn.Sequential:
    """VGG16's thirteen convolutions and five poolings: (B, 3, h, w) to (B, 512 width, h / 32, w / 32)."""
    plan = [step if isinstance(step, str) else scale_channels(step, width) for step in cfgs["D"]]
    features: nn.Sequential = make_layers(plan, batch_norm=batch_norm)
    initialise(features)
    return features


def initialise(part: nn.Module) -> None:
    """He's initialisation of all convolutions, which keeps signals alive through sixteen layers; no bias."""
    for layer in part.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            zero_bias(layer)


def score_layer(channels: int, outputs: int, *, kernel: int = 1, zero: bool = False) -> nn.Conv2d:
    """Convolution from features to logits, near zero; all zeros on request."""
    layer = nn.Conv2d(channels, outputs, kernel, padding=kernel // 2)
    nn.init.normal_(layer.weight, std=0.0 if zero else 0.01)
    zero_bias(layer)
    return layer


def zero_bias(layer: nn.Conv2d | nn.ConvTranspose2d) -> None:
    if isinstance(layer.bias, Tensor):
        nn.init.zeros_(layer.bias)
