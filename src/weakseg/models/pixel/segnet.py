"""SegNet on VGG16."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from weakseg.models.pixel.mirror import INDICES, PLAN, UPSAMPLING_HELP, VggDecoder, VggEncoder
from weakseg.models.pixel.padding import crop_to, pad_to_multiple
from weakseg.models.pixel.vgg import STRIDE, WIDTH_HELP, score_layer

ADDED = ("decoder", "score")  # layers that VGG16 has not
OPTIONS = {"width": WIDTH_HELP, "upsampling": UPSAMPLING_HELP}


class SegNet(nn.Module):
    """VGG16's convolutions and their mirror image; a maximum goes back to where its pooling found it.

    Badrinarayanan, Kendall & Cipolla, arXiv 1511.00561, section 3: thirteen convolutions with batch norm and ReLU and
    five poolings, then five unpoolings by their stored indices and thirteen convolutions, the last of which is the
    pixel classifier. No fully connected layers.

    Differs from the paper: any member of the upsampling family can take the place of the indices; pictures are
    normalised as for ImageNet, without local contrast normalisation; class balancing belongs to the recipe.

    Input (B, 3, h, w) float32, normalised, any h and w from 16 on; output (B, O, h, w) logits.
    """

    def __init__(self, outputs: int, width: float, upsampling: str) -> None:
        super().__init__()
        self.encoder = VggEncoder(width, upsampling)
        self.decoder = VggDecoder((*PLAN[:-1], PLAN[-1][:-1]), width, upsampling, _convolution)  # twelve layers
        self.score = score_layer(self.decoder.channels, outputs, kernel=3)

    def forward(self, images: Tensor) -> Tensor:
        features, notes = self.encoder(pad_to_multiple(images, STRIDE))
        return crop_to(self.score(self.decoder(features, notes)), images)


def _convolution(reads: int, writes: int) -> nn.Module:
    return nn.Conv2d(reads, writes, 3, padding=1)


def build_segnet_vgg16(outputs: int, *, width: float = 1.0, upsampling: str = INDICES) -> nn.Module:
    """See `SegNet`. Raises: ModelError: no such upsampling, or no such width."""
    return SegNet(outputs, width, upsampling)


def adapt_to_segnet(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """VGG16's (with batch norm) state dict under own names, without its fully connected layers; an own one as it is."""
    if "score.weight" in state:
        return dict(state)
    return {f"encoder.{name}": value for name, value in state.items() if name.startswith("features.")}
