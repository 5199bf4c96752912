"""DeconvNet on VGG16."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from weakseg.models.pixel.checks import check_channels
from weakseg.models.pixel.mirror import INDICES, PLAN, UPSAMPLING_HELP, VggDecoder, VggEncoder, block
from weakseg.models.pixel.padding import crop_to, pad_to_multiple
from weakseg.models.pixel.vgg import FC_HELP, STRIDE, WIDTH_HELP, initialise, scale_channels, score_layer
from weakseg.models.vgg16_fcn import adapt_vgg16

ADDED = ("norm6", "norm7", "deconv6", "decoder", "score")  # layers that VGG16 has not
OPTIONS = {"width": WIDTH_HELP, "fc_channels": FC_HELP, "upsampling": UPSAMPLING_HELP}


class DeconvNet(nn.Module):
    """VGG16 with its fully connected layers, and a mirror image of it all in transposed convolutions.

    Noh, Hong & Han, "Learning Deconvolution Network for Semantic Segmentation", ICCV 2015, section 3 and table 3: fc6
    (7 x 7) and fc7 as convolutions, a 7 x 7 deconvolution, then five times unpooling by the stored indices and
    deconvolutions of stride 1; batch norm and ReLU behind every layer but the last, which is 1 x 1.

    Differs from the paper: fc6 and its mirror are padded by 3 cells, so that pictures of any size work, where the
    paper's 224 pixels shrink to a single cell and grow again; trained and asked with whole pictures, not with object
    proposals whose answers are merged; any member of the upsampling family can take the place of the indices.

    Input (B, 3, h, w) float32, normalised, any h and w from 16 on; output (B, O, h, w) logits.
    """

    def __init__(self, outputs: int, width: float, fc_channels: int, upsampling: str) -> None:
        super().__init__()
        deep = scale_channels(512, width)
        self.encoder = VggEncoder(width, upsampling)
        self.fc6 = nn.Conv2d(deep, fc_channels, 7, padding=3)
        self.norm6 = nn.BatchNorm2d(fc_channels)
        self.fc7 = nn.Conv2d(fc_channels, fc_channels, 1)
        self.norm7 = nn.BatchNorm2d(fc_channels)
        self.deconv6 = block(nn.ConvTranspose2d(fc_channels, deep, 7, padding=3), deep)
        self.decoder = VggDecoder(PLAN, width, upsampling, _deconvolution)
        self.score = score_layer(self.decoder.channels, outputs)
        for layer in (self.fc6, self.fc7):
            initialise(layer)

    def forward(self, images: Tensor) -> Tensor:
        features, notes = self.encoder(pad_to_multiple(images, STRIDE))
        hidden = self.norm6(self.fc6(features)).relu()  # (B, 4096 width, h / 32, w / 32)
        hidden = self.norm7(self.fc7(hidden)).relu()
        return crop_to(self.score(self.decoder(self.deconv6(hidden), notes)), images)


def _deconvolution(reads: int, writes: int) -> nn.Module:
    return nn.ConvTranspose2d(reads, writes, 3, padding=1)


def build_deconvnet_vgg16(
    outputs: int, *, width: float = 1.0, fc_channels: int | None = None, upsampling: str = INDICES
) -> nn.Module:
    """See `DeconvNet`. Raises: ModelError: a value that makes no sense."""
    hidden = scale_channels(4096, width) if fc_channels is None else fc_channels
    return DeconvNet(outputs, width, check_channels("fc_channels", hidden), upsampling)


def adapt_to_deconvnet(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """VGG16's (with batch norm) state dict under own names, without its prediction layer; an own one as it is."""
    if "score.weight" in state:
        return dict(state)
    adapted = {name: value for name, value in adapt_vgg16(state).items() if not name.startswith("head.")}
    return {f"encoder.{name}" if name.startswith("features.") else name: value for name, value in adapted.items()}
