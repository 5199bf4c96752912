"""Conv-deconv networks from a spec string: an encoder of convolutions and poolings, and its mirror image.

Slides (Naplava, Kluj, Svec: Image Segmentation using Neural Networks, "Our architecture" and after). They show the
strings and name the options; what follows is ours where they are silent:

- Every encoder layer has its mirror in the decoder, in reverse order: a convolution of stride s a transposed
  convolution of the same kernel and stride, with its input's channels as output; a pooling an upsampling.
- The mirror of the first convolution answers the logits: `outputs` channels, no ReLU, no batch normalisation. With
  shared weights it is the one layer with weights of its own, because the first convolution reads 3 colours. (The
  slides have 3 classes, and may have shared that one too.)
- Skips are added, at every size and every layer but the last: what a layer of the encoder read is added to what its
  mirror writes, before the ReLU. Concatenation would need wider kernels, which could not be shared.
- Upsampling is by stored pooling indices unless asked otherwise: what their figure (DeconvNet's) shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from weakseg.errors import ModelError
from weakseg.models.pixel.checks import is_number
from weakseg.models.pixel.padding import crop_to, pad_to_multiple
from weakseg.models.pixel.spec import ConvDeconvSpec, Convolution, Pooling, Third, parse_spec
from weakseg.models.pixel.upsampling import PoolWithIndices, build_upsampling

BEST_OF_THE_SLIDES = "C5,64,2C5,64,1M2C5,64,2C5,64,1M2C5,64,2C5,64,1M2"  # 97.36 % of pixels
OPTIONS = {
    "spec": f"layers, e.g. {BEST_OF_THE_SLIDES}: C<kernel>,<channels>,<stride> and M<pooling>",
    "shared": "true: a deconvolution uses the weights of its convolution",
    "skips": "true: what a layer of the encoder read is added to what its mirror writes",
    "standardise": "true: every photo to mean 0 and standard deviation 1 first",
    "batch_norm": "true: batch normalisation behind every layer but the last",
    "strides": "as_written, or one: every convolution at stride 1",
    "third": "stride or repeats: what a third number of C without a letter says",
    "upsampling": "the mirror of a pooling; indices_unpooling by default",
    "width": "factor on all channels",
}


class ConvDeconv(nn.Module):
    """See this module's docstring and `build_conv_deconv`.

    Input (B, 3, h, w) float32, normalised, any h and w; output (B, outputs, h, w) logits. Inside, pictures are padded
    to multiples of the total stride, so that every layer and its mirror fit exactly.
    """

    def __init__(self, stages: Sequence[Stage], *, total_stride: int, standardise: bool) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.total_stride = total_stride
        self.standardise = standardise

    def forward(self, images: Tensor) -> Tensor:
        features = standardise_images(images) if self.standardise else images  # (B, 3, h, w)
        features = pad_to_multiple(features, self.total_stride)
        notes: list[tuple[Tensor, Tensor | None]] = []  # what each stage read, and its pooling's indices
        stages = cast("Sequence[Stage]", self.stages)
        for stage in stages:
            read = features
            features, indices = stage.encode(read)
            notes.append((read, indices))
        for stage, (read, indices) in zip(reversed(stages), reversed(notes), strict=True):
            features = stage.decode(features, read, indices)
        return crop_to(features, images)  # (B, outputs, h, w)


class Stage(nn.Module):
    """A layer of the encoder and its mirror in the decoder."""

    def encode(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """What the next stage reads, and the indices of a pooling that the mirror needs."""
        raise NotImplementedError

    def decode(self, features: Tensor, read: Tensor, indices: Tensor | None) -> Tensor:
        """From what the next stage's mirror wrote to what this one writes, at the size of what `encode` read."""
        raise NotImplementedError


class ConvolutionStage(Stage):
    """A convolution, and a transposed one from its channels to ``writes``.

    Args:
        layer: Of the spec, once.
        reads: Channels that the convolution reads.
        writes: Channels that its mirror writes: as many, or the logits'.
        shared: The mirror uses the convolution's weights, and has none.
        skip: What the convolution read is added to what its mirror writes.
        batch_norm: Behind both.
        last: The mirror writes logits: no batch normalisation, no ReLU.
    """

    def __init__(
        self, layer: Convolution, reads: int, writes: int, *, shared: bool, skip: bool, batch_norm: bool, last: bool
    ) -> None:
        super().__init__()
        kernel, channels = layer.kernel, layer.channels
        self.stride, self.skip, self.last = layer.stride, skip, last
        self.convolution = nn.Conv2d(reads, channels, kernel, layer.stride, kernel // 2, bias=not batch_norm)
        self.norm = nn.BatchNorm2d(channels) if batch_norm else nn.Identity()
        self.mirror_weight = None if shared else nn.Parameter(torch.empty(channels, writes, kernel, kernel))
        self.mirror_bias = nn.Parameter(torch.empty(writes)) if last or not batch_norm else None
        self.mirror_norm = nn.BatchNorm2d(writes) if batch_norm and not last else nn.Identity()
        self.initialise()

    def initialise(self) -> None:
        """He's initialisation, which keeps signals alive: the same in the mirror, whose cells hear fewer others.

        A tenth of it before the logits: skips add up there, and a sure guess is a bad one to begin with.
        """
        area = self.convolution.weight[0, 0].numel()
        nn.init.normal_(self.convolution.weight, std=sqrt(2 / (area * self.convolution.in_channels)))
        if self.mirror_weight is not None:
            scale = sqrt(2 * self.stride**2 / (area * len(self.mirror_weight)))
            nn.init.normal_(self.mirror_weight, std=0.1 * scale if self.last else scale)
        for bias in (self.convolution.bias, self.mirror_bias):
            if bias is not None:
                nn.init.zeros_(bias)

    def encode(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        return F.relu(self.norm(self.convolution(features)), inplace=True), None

    def decode(self, features: Tensor, read: Tensor, indices: Tensor | None) -> Tensor:  # noqa: ARG002
        weight = self.convolution.weight if self.mirror_weight is None else self.mirror_weight
        written: Tensor = self.mirror_norm(deconvolve(features, weight, self.mirror_bias, self.stride))
        if self.skip:
            written = written + read
        return written if self.last else F.relu(written, inplace=True)


class PoolingStage(Stage):
    """Max pooling, and its mirror: one of the upsampling family, plus what was pooled where ``skip``."""

    def __init__(self, layer: Pooling, channels: int, *, upsampling: str, skip: bool) -> None:
        super().__init__()
        self.factor, self.skip = layer.factor, skip
        self.upsampling = build_upsampling(upsampling, channels, factor=layer.factor)
        self.pool_with_indices = PoolWithIndices(layer.factor) if upsampling == "indices_unpooling" else None

    def encode(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        if self.pool_with_indices is None:
            return F.max_pool2d(features, self.factor), None
        pooled, indices = self.pool_with_indices(features)
        return pooled, indices

    def decode(self, features: Tensor, read: Tensor, indices: Tensor | None) -> Tensor:
        enlarged: Tensor = self.upsampling(features, indices=indices, size_like=read)
        return enlarged + read if self.skip else enlarged


def deconvolve(features: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
    """The mirror of a convolution with an odd kernel, padded by half of it: (B, C, h, w) to (B, D, s * h, s * w).

    Args:
        weight: (C, D, k, k): that of the convolution from D to C channels, as it is.
        bias: (D,).
    """
    padding = weight.shape[-1] // 2
    if stride == 1:  # an ordinary convolution with turned kernels, which runtimes do faster
        return F.conv2d(features, weight.flip(2, 3).transpose(0, 1), bias, padding=padding)
    return F.conv_transpose2d(features, weight, bias, stride, padding, output_padding=stride - 1)


def standardise_images(images: Tensor) -> Tensor:
    """Every photo to mean 0 and standard deviation 1 over all its pixels and channels: (B, 3, h, w).

    As TensorFlow's ``per_image_standardization``: a standard deviation below 1 / sqrt(N) counts as that, N = 3 h w. The
    slides standardise bytes; here pictures are normalised before, which makes no difference where the normalisation is
    the same for all channels, but for pictures of almost one colour.
    """
    count = images.shape[1] * images.shape[2] * images.shape[3]
    centred = images - images.mean((1, 2, 3), keepdim=True)
    deviation = centred.square().mean((1, 2, 3), keepdim=True).sqrt()  # (B, 1, 1, 1)
    return centred / deviation.clamp(min=count**-0.5)


def build_conv_deconv(
    outputs: int,
    *,
    spec: str = BEST_OF_THE_SLIDES,
    shared: bool = False,
    skips: bool = False,
    standardise: bool = False,
    batch_norm: bool = False,
    strides: Literal["as_written", "one"] = "as_written",
    third: Third = "stride",
    upsampling: str = "indices_unpooling",
    width: float = 1.0,
) -> nn.Module:
    """A conv-deconv network with random weights. `OPTIONS` says what each option means.

    Args:
        outputs: Channels of the logits.
    Raises:
        ModelError: a spec that does not parse or asks for too much, or an option that is none.
    """
    _refuse_other_than_bools(shared=shared, skips=skips, standardise=standardise, batch_norm=batch_norm)
    plan = _plan(spec, third, strides, width)
    plan.refuse_excess(outputs, transposed=upsampling == "transposed")
    plan = plan.unrolled()
    stages: list[Stage] = []
    reads = 3
    for layer in plan.layers:
        first = not stages
        if isinstance(layer, Pooling):
            stages.append(PoolingStage(layer, reads, upsampling=upsampling, skip=skips))
            continue
        stages.append(
            ConvolutionStage(
                layer,
                reads,
                outputs if first else reads,
                shared=shared and not first,
                skip=skips and not first,
                batch_norm=batch_norm,
                last=first,
            )
        )
        reads = layer.channels
    return ConvDeconv(stages, total_stride=plan.total_stride, standardise=standardise)


def _plan(spec: str, third: Third, strides: str, width: float) -> ConvDeconvSpec:
    """The layers to build."""
    if strides not in ("as_written", "one"):
        raise ModelError(f"strides = {strides!r}: give as_written or one.")
    if not is_number(width) or not 0 < width <= 16:
        raise ModelError(f"width = {width!r}: give a factor above 0, 16 at most.")
    if not isinstance(spec, str):
        raise ModelError(f"spec = {spec!r}: give a string such as {BEST_OF_THE_SLIDES}.")
    plan = parse_spec(spec, third=third).widened(width)
    return plan.with_stride_one() if strides == "one" else plan


def _refuse_other_than_bools(**options: object) -> None:
    for name, value in options.items():
        if not isinstance(value, bool):
            raise ModelError(f"{name} = {value!r}: give true or false.")
