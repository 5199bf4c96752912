"""FCN-32s, FCN-16s and FCN-8s on VGG16 and on MobileNetV2."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from weakseg.errors import ModelError
from weakseg.models.pixel.backbones import Backbone, MobileNetBackbone, VggBackbone
from weakseg.models.pixel.bilinear import LearnedUpsampling
from weakseg.models.pixel.checks import check_dropout
from weakseg.models.pixel.padding import crop_to, pad_to_multiple
from weakseg.models.pixel.vgg import FC_HELP, STRIDE, WIDTH_HELP, score_layer
from weakseg.models.vgg16_fcn import adapt_vgg16

STAGES = (32, 16, 8)  # in the order of training
_UPSAMPLING = {"learned_upsampling": "whether upsampling kernels are trained (default) or stay bilinear: true or false"}
VGG_OPTIONS = {
    "width": WIDTH_HELP,
    "fc_channels": FC_HELP,
    "dropout": "share of features dropped in training behind fc6 and fc7 (default 0.5)",
} | _UPSAMPLING
MOBILENET_OPTIONS = {
    "width": "factor on channel counts as in MobileNetV2's paper (default 1, the only one that ImageNet weights fit)",
    "dropout": "share of features dropped in training before the score layer (default 0.2)",
} | _UPSAMPLING


class Fcn(nn.Module):
    """Score layers on a classifier's features, added up from coarse to fine, each upsampled by what it lacks.

    Long, Shelhamer & Darrell, CVPR 2015, section 4. ``stride`` 32 scores the last features and upsamples 32 times;
    16 upsamples twice, adds the scores of the features at stride 16, then upsamples 16 times; 8 does so once more.
    A stage has the parameter names of the one before it, but for the last upsampling, whose kernel has another size:
    see `added_by_stage`. Scores of the skips start at zero, as in the paper: a stage starts with the former's answer.

    Differs from the paper: padding is "same" throughout, instead of 100 pixels around the picture and crops whose
    offsets make up for it, so that cells align and pictures of any size work; the last score layer starts near zero,
    not at zero; upsampling has one kernel for each class (see `LearnedUpsampling`); the last one is learned too, unless
    ``learned_upsampling`` is false.

    Args:
        backbone: An nn.Module: features at strides 8, 16 and 32.
        outputs: O.
        stride: Of the finest scores: 32, 16 or 8.
        dropout: Before the last score layer.
        learned_upsampling: Otherwise all upsampling stays bilinear.

    Input (B, 3, h, w) float32, normalised, any h and w from 16 on; output (B, O, h, w) logits.
    """

    def __init__(
        self, backbone: Backbone, outputs: int, *, stride: int, dropout: float, learned_upsampling: bool
    ) -> None:
        super().__init__()
        if not isinstance(learned_upsampling, bool):
            raise ModelError(f"learned_upsampling = {learned_upsampling!r}: give true or false.")
        self.stride = stride
        self.backbone = backbone
        self.dropout = nn.Dropout(check_dropout(dropout))
        self.score = score_layer(backbone.channels[2], outputs)

        def upsampling(factor: int) -> nn.Module:
            return LearnedUpsampling(outputs, factor, centred=backbone.centred, learned=learned_upsampling)

        if stride <= 16:
            self.upscore2 = upsampling(2)
            self.score_pool4 = score_layer(backbone.channels[1], outputs, zero=True)
        if stride <= 8:
            self.upscore_pool4 = upsampling(2)
            self.score_pool3 = score_layer(backbone.channels[0], outputs, zero=True)
        self.add_module(f"upscore{stride}", upsampling(stride))

    def forward(self, images: Tensor) -> Tensor:
        third, fourth, last = self.backbone(pad_to_multiple(images, STRIDE))
        scores = self.score(self.dropout(last))  # (B, O, h / 32, w / 32)
        if self.stride <= 16:
            scores = self.upscore2(scores) + self.score_pool4(fourth)  # (B, O, h / 16, w / 16)
        if self.stride <= 8:
            scores = self.upscore_pool4(scores) + self.score_pool3(third)  # (B, O, h / 8, w / 8)
        return crop_to(self.get_submodule(f"upscore{self.stride}")(scores), images)


def build_fcn_vgg16(
    outputs: int,
    *,
    stride: int,
    width: float = 1.0,
    fc_channels: int | None = None,
    dropout: float = 0.5,
    learned_upsampling: bool = True,
) -> nn.Module:
    """See `Fcn` and `VggBackbone`."""
    backbone = VggBackbone(width, fc_channels, dropout)
    return Fcn(backbone, outputs, stride=stride, dropout=dropout, learned_upsampling=learned_upsampling)


def build_fcn_mobilenet_v2(
    outputs: int, *, stride: int, width: float = 1.0, dropout: float = 0.2, learned_upsampling: bool = True
) -> nn.Module:
    """See `Fcn` and `MobileNetBackbone`."""
    backbone = MobileNetBackbone(width)
    return Fcn(backbone, outputs, stride=stride, dropout=dropout, learned_upsampling=learned_upsampling)


def added_by_stage(stride: int) -> tuple[str, ...]:
    """Layers that a stage has and the stage before it has not; for the first one, what the classifier has not."""
    return {
        32: ("score", "upscore32"),
        16: ("upscore2", "score_pool4", "upscore16"),
        8: ("upscore_pool4", "score_pool3", "upscore8"),
    }[stride]


def added_to_classifier(stride: int) -> tuple[str, ...]:
    """All layers that are not the classifier's."""
    stages = [stage for stage in STAGES if stage > stride]
    before = [layer for stage in stages for layer in added_by_stage(stage) if layer != f"upscore{stage}"]
    return (*before, *added_by_stage(stride))


def adapt_to_fcn(state: Mapping[str, Tensor], *, stride: int) -> dict[str, Tensor]:
    """A state dict of the classifier (VGG16, MobileNetV2), of `Vgg16Fcn`, or of an earlier stage, under own names.

    The classifier's prediction layer is left out, as is the last upsampling of another stage. One of the same stage
    comes back as it is.
    """
    unused = tuple(f"upscore{other}." for other in STAGES if other != stride)
    if any(name.startswith("backbone.") for name in state):
        return {name: value for name, value in state.items() if not name.startswith(unused)}
    classifier = adapt_vgg16(state)
    return {f"backbone.{name}": value for name, value in classifier.items() if name.startswith(("features.", "fc"))}
