"""DeepLab-LargeFOV on VGG16."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from weakseg.models.pixel.checks import check_channels, check_dropout
from weakseg.models.pixel.padding import crop_to, pad_to_multiple
from weakseg.models.pixel.vgg import POOLS, WIDTH_HELP, initialise, scale_channels, score_layer, vgg_features
from weakseg.models.vgg16_fcn import adapt_vgg16

ADDED = ("score",)  # layers that VGG16 has not
OPTIONS = {
    "width": WIDTH_HELP,
    "fc_channels": "channels of fc6 and fc7 (default: 1024 x width; ImageNet weights fit 1024 only)",
    "dropout": "share of features dropped in training behind fc6 and fc7 (default 0.5)",
}
_STRIDE = 8
_FC_CHANNELS = 1024


class DeepLabLargeFov(nn.Module):
    """VGG16 at stride 8: its last two poolings keep the size, and the layers behind them look further apart instead.

    Chen et al., "Semantic Image Segmentation with Deep Convolutional Nets and Fully Connected CRFs", ICLR 2015, in its
    form DeepLab-LargeFOV: conv5 with dilation 2, fc6 as 3 x 3 with dilation 12 and 1024 channels, fc7 with 1024; logits
    at stride 8, upsampled bilinearly. The paper's dense CRF is a refinement of the service (``refine=crf``).

    Differs from the paper: pool1 to pool3 are VGG16's own 2 x 2 ones, where the authors' network has 3 x 3 windows
    (pool4 and pool5, which keep the size, are 3 x 3 here too); no average pooling behind pool5; trained on logits at
    full size against full masks, where the paper compares at stride 8.

    Input (B, 3, h, w) float32, normalised, any h and w from 16 on; output (B, O, h, w) logits.
    """

    def __init__(self, outputs: int, width: float, fc_channels: int, dropout: float) -> None:
        super().__init__()
        channels = scale_channels(512, width)
        self.features = _dilate(vgg_features(width))  # (B, 512 width, h / 8, w / 8)
        self.fc6 = nn.Conv2d(channels, fc_channels, 3, padding=12, dilation=12)
        self.fc7 = nn.Conv2d(fc_channels, fc_channels, 1)
        self.dropout = nn.Dropout(dropout)
        self.score = score_layer(fc_channels, outputs)
        for layer in (self.fc6, self.fc7):
            initialise(layer)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.features(pad_to_multiple(images, _STRIDE))
        for layer in (self.fc6, self.fc7):
            hidden = self.dropout(layer(hidden).relu())
        scores = self.score(hidden)  # (B, O, h / 8, w / 8)
        return crop_to(F.interpolate(scores, scale_factor=float(_STRIDE), mode="bilinear"), images)


def _dilate(features: nn.Sequential) -> nn.Sequential:
    """VGG16's features with the last two poolings at stride 1, and conv5 with holes as wide as they would have been."""
    for index in POOLS[3:]:
        features[index] = nn.MaxPool2d(3, stride=1, padding=1)
    for layer in features[POOLS[3] :]:
        if isinstance(layer, nn.Conv2d):
            layer.dilation, layer.padding = (2, 2), (2, 2)
    return features


def build_deeplab_largefov_vgg16(
    outputs: int, *, width: float = 1.0, fc_channels: int | None = None, dropout: float = 0.5
) -> nn.Module:
    """See `DeepLabLargeFov`. Raises: ModelError: a value that makes no sense."""
    hidden = scale_channels(_FC_CHANNELS, width) if fc_channels is None else fc_channels
    return DeepLabLargeFov(outputs, width, check_channels("fc_channels", hidden), check_dropout(dropout))


def adapt_to_deeplab(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """VGG16's state dict without its prediction layer, its fully connected layers thinned out; an own one as it is.

    DeepLab paper, section 3.1: fc6 and fc7 are "subsampled". Here: every fourth channel, and of the 7 x 7 windows
    every third row and column.
    """
    if "score.weight" in state:
        return dict(state)
    adapted = {name: value for name, value in adapt_vgg16(state).items() if name.startswith(("features.", "fc"))}
    for layer, thin in (("fc6", _thin_fc6), ("fc7", _thin_fc7)):
        if f"{layer}.weight" in adapted:
            adapted[f"{layer}.weight"] = thin(adapted[f"{layer}.weight"]).clone()
            adapted[f"{layer}.bias"] = adapted[f"{layer}.bias"][::4].clone()  # (1024)
    return adapted


def _thin_fc6(weight: Tensor) -> Tensor:
    return weight[::4, :, ::3, ::3]  # (4096, 512, 7, 7) to (1024, 512, 3, 3)


def _thin_fc7(weight: Tensor) -> Tensor:
    return weight[::4, ::4]  # (4096, 4096, 1, 1) to (1024, 1024, 1, 1)
