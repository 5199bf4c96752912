"""What SegNet and DeconvNet share: VGG16's convolutions with batch norm, and their mirror image."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from weakseg.models.pixel.upsampling import PoolWithIndices, build_upsampling
from weakseg.models.pixel.vgg import initialise, scale_channels, vgg_features

ANCESTOR = "vgg16_bn"  # torchvision's network whose weights they can start from
INDICES = "indices_unpooling"
UPSAMPLING_HELP = "how the decoder makes maps larger: see weakseg.models.pixel.upsampling (default: indices_unpooling)"
PLAN = ((512, 512, 512), (512, 512, 256), (256, 256, 128), (128, 64), (64, 64))  # what each decoder layer writes

Note = tuple[Tensor, Tensor | None]  # what a pooling read, (B, c, 2h, 2w), and where its maxima were, (B, c, h, w)


class VggEncoder(nn.Module):
    """VGG16's thirteen convolutions with batch norm, under torchvision's names.

    (B, 3, h, w), h and w multiples of 32, to (B, 512 width, h / 32, w / 32) and a note per pooling, in order.
    """

    def __init__(self, width: float, upsampling: str) -> None:
        super().__init__()
        self.features = vgg_features(width, batch_norm=True)
        if upsampling == INDICES:
            for name, layer in self.features.named_children():
                if isinstance(layer, nn.MaxPool2d):
                    self.features.set_submodule(name, PoolWithIndices(2))

    def forward(self, images: Tensor) -> tuple[Tensor, list[Note]]:
        values, notes = images, list[Note]()
        for layer in self.features:
            if isinstance(layer, PoolWithIndices):
                before = values
                values, indices = layer(before)
                notes.append((before, indices))
            elif isinstance(layer, nn.MaxPool2d):
                notes.append((values, None))
                values = layer(values)
            else:
                values = layer(values)
        return values, notes


class DecoderStage(nn.Module):
    """Undo one pooling, then the layers that mirror those before it: (B, c, h, w) to (B, c', 2h, 2w)."""

    def __init__(
        self, reads: int, writes: Sequence[int], upsampling: str, layer: Callable[[int, int], nn.Module]
    ) -> None:
        super().__init__()
        self.upsampling = build_upsampling(upsampling, reads)
        ends = (reads, *writes)
        self.layers = nn.Sequential(*(block(layer(*pair), pair[1]) for pair in zip(ends[:-1], writes, strict=True)))

    def forward(self, values: Tensor, note: Note) -> Tensor:
        before, indices = note
        larger = self.upsampling(values, indices=indices, size_like=before)  # (B, c, 2h, 2w)
        written: Tensor = self.layers(larger)
        return written


class VggDecoder(nn.Module):
    """A stage for each of VGG16's poolings, the last one first: (B, 512 width, h / 32, w / 32) to (B, c, h, w)."""

    def __init__(
        self, plan: Sequence[Sequence[int]], width: float, upsampling: str, layer: Callable[[int, int], nn.Module]
    ) -> None:
        super().__init__()
        reads, stages = scale_channels(512, width), []
        for channels in plan:
            writes = [scale_channels(count, width) for count in channels]
            stages.append(DecoderStage(reads, writes, upsampling, layer))
            reads = writes[-1]
        self.stages = nn.ModuleList(stages)
        self.channels = reads  # c

    def forward(self, values: Tensor, notes: Sequence[Note]) -> Tensor:
        for stage, note in zip(self.stages, reversed(notes), strict=True):
            values = stage(values, note)
        return values


def block(convolution: nn.Module, channels: int) -> nn.Sequential:
    """A convolution, batch norm and ReLU; He's initialisation."""
    initialise(convolution)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
