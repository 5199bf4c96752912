"""Maps of networks that learned to score every position from labels of whole photos.

Pinheiro & Collobert, *From image-level to pixel-level labeling with convolutional networks* (CVPR 2015), as used by the
course project on joint networks: with the class map s_c of a network (`weakseg.models.joint`) and its aggregation,

    S_c = aggregate(s_c)       M_c(x, y) = max(s_c(x, y), 0)

Differences from the papers: the negative part of a map is removed and its maximum becomes 1, as in CAM; the paper takes
a softmax over the classes at each position, and weighs it by the photo's scores. Cells are put where they lie in the
photo (:mod:`weakseg.attribution.placement`).

Differences from :mod:`weakseg.attribution.cam`: the bias of the class convolution is part of the map, so that 0 means
"neither for nor against"; views are averaged, and cells placed, before the negative part is removed. Where the bias is
below all of a map, nothing of it is left: ``floor="least"`` counts from its least cell instead.

A group's map is the mean of its members' class maps, weighted as ``member_weighting`` says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from weakseg.attribution.cam import mix_channels
from weakseg.attribution.graph import GraphSettings, LabelGraph, Rgb, Wanted, refuse_other_classes
from weakseg.attribution.placement import merge_views
from weakseg.card import Method
from weakseg.errors import ModelError
from weakseg.labels import Vocabulary
from weakseg.models.class_map import ClassMapNetwork


@dataclass(frozen=True, slots=True)
class JointSettings(GraphSettings):
    """What is decided at export. With several ``scales``, maps are averaged at the first view's map size.

    Args:
        floor: What becomes 0: ``zero``, all that is not positive; ``least``, the least cell of each map.
    """

    method: ClassVar[Method] = "joint"
    floor: Literal["zero", "least"] = "zero"

    def __post_init__(self) -> None:
        GraphSettings.__post_init__(self)  # super() does not work in a class with slots
        if self.floor not in ("zero", "least"):
            raise ModelError(f"floor = {self.floor!r}: give zero or least.")


@dataclass(frozen=True, slots=True)
class Scored:
    """What the network saw in one view."""

    view: Tensor  # (B, 3, h, w)
    class_map: Tensor  # (B, C, n_y, n_x)
    logits: Tensor  # (B, C)


class JointGraph(LabelGraph[Scored]):
    """Class maps of a network that has them; see :class:`weakseg.attribution.graph.LabelGraph` for input and output.

    Args:
        network: Its class map and its aggregation, used as they are.
        settings: How maps are made.
    Raises:
        ModelError: classes or groups do not fit the network or the settings.
    """

    settings: JointSettings

    def __init__(
        self,
        network: ClassMapNetwork,
        vocabulary: Vocabulary,
        *,
        mean: Rgb,
        std: Rgb,
        settings: JointSettings | None = None,
        multi_label: bool = False,
    ) -> None:
        super().__init__(vocabulary, mean=mean, std=std, settings=settings or JointSettings(), multi_label=multi_label)
        refuse_other_classes(network.name, network.class_count, vocabulary)
        self.class_map = network.class_map
        self.aggregate = network.aggregate
        self.grid = network.grid
        self.eval()

    def look(self, view: Tensor) -> Scored:
        """Class map and logits of a view, (B, 3, h, w); with ``flip``, the means of both sides."""
        class_map: Tensor = self.class_map(view)
        logits: Tensor = self.aggregate(class_map)
        if not self.settings.flip:
            return Scored(view, class_map, logits)
        mirrored: Tensor = self.class_map(view.flip(3))
        return Scored(view, (class_map + mirrored.flip(3)) / 2, (logits + self.aggregate(mirrored)) / 2)

    def make_maps(self, looks: list[Scored], wanted: Wanted) -> Tensor:
        """(B, K, h', w'), the mean over the views, not negative."""
        maps = [mix_channels(wanted.mix, look.class_map) for look in looks]
        merged = merge_views(maps, [look.view for look in looks], self.grid, like=looks[0].class_map)
        return set_floor(merged, self.settings.floor)


def set_floor(maps: Tensor, floor: str) -> Tensor:
    """Remove the negative part, or subtract the least cell of each map: (B, K, h', w'), not negative."""
    return maps.relu() if floor == "zero" else maps - maps.amin((2, 3), keepdim=True)
