"""Grad-CAM: class activation maps for networks without a CAM head.

Selvaraju et al., *Grad-CAM* (ICCV 2017), section 3: with the activations A_k of one layer,

    M_c(x, y) = relu( sum_k a_kc A_k(x, y) ),   a_kc = mean over positions of d S_c / d A_k

Differences from the paper: none; where global average pooling and one linear layer follow, this is CAM.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor, nn

from weakseg.attribution.gradient import Glance, GradientGraph
from weakseg.attribution.graph import GraphSettings, Wanted
from weakseg.attribution.placement import place_cells
from weakseg.card import Method
from weakseg.errors import ModelError
from weakseg.labels import Vocabulary
from weakseg.models.operators import operator_of
from weakseg.models.tape import OUTPUT, Tape, Values


@dataclass(frozen=True, slots=True)
class GradCamSettings(GraphSettings):
    """What is decided at export.

    Args:
        layer: The layer whose activations make the map; empty: the last feature map of the last convolutions' size.
    """

    method: ClassVar[Method] = "gradcam"
    layer: str = ""


class GradCamGraph(GradientGraph):
    """Activations of one layer, weighted by mean gradients."""

    settings_type = GradCamSettings
    settings: GradCamSettings

    def prepare(self, _model: nn.Module, _network: str, _vocabulary: Vocabulary, /) -> None:
        self.settings = replace(self.settings, layer=choose_layer(self.tape, self.settings.layer))

    def canvas(self, first: Glance) -> Tensor:
        return first.sides[0][self.settings.layer]

    def draw(self, values: Values, view: Tensor, wanted: Wanted, canvas: Tensor) -> Tensor:
        layer = self.settings.layer
        gradients = self.tape.pull_back(values, {OUTPUT: wanted.mix}, [layer])[layer]  # (B, K, c, n_y, n_x)
        maps = self.combine(values[layer], gradients).relu()  # (B, K, n_y, n_x)
        return place_cells(maps, view, self.tape.grid(layer), canvas)

    def combine(self, activations: Tensor, gradients: Tensor) -> Tensor:
        """(B, c, n_y, n_x) and (B, K, c, n_y, n_x) to (B, K, n_y, n_x)."""
        return (activations[:, None] * gradients.mean((3, 4), keepdim=True)).sum(2)


def choose_layer(tape: Tape, layer: str) -> str:
    """The layer asked for, or the last one whose cells are as large as those of the last convolution.

    For a ResNet that is the sum behind its last block, for VGG16 conv5_3 before it is pooled. Class maps are no
    features: on networks that end in them (SqueezeNet), it is what their convolution sees.

    Raises:
        ModelError: the network has no such layer, or no features before its class maps.
    """
    if layer:
        if layer not in tape.layers:
            raise ModelError(f"The network has no layer {layer!r}. It has: {', '.join(tape.layers)}.")
        return layer
    ends = [name for name in tape.convolutions if name != tape.class_map]
    if not ends:
        raise ModelError(f"No convolution but that of the class maps. Choose a layer: {', '.join(tape.layers)}.")
    last = tape.grid(ends[-1]).stride_yx
    return [name for name in before_class_map(tape) if tape.grid(name).stride_yx == last][-1]


def before_class_map(tape: Tape) -> tuple[str, ...]:
    """The layers of feature maps, without class maps and what leads from the last convolution to them."""
    if tape.class_map is None:
        return tape.layers
    node = tape.layout.class_map
    assert node is not None
    while operator_of(node, tape.network) != "conv2d":
        node = node.all_input_nodes[0]
    return tape.layers[: tape.layers.index(node.name)]
