"""Maps of networks that learned to score every position from labels of whole photos.

Pinheiro & Collobert, *From image-level to pixel-level labeling with convolutional networks* (CVPR 2015), as used by the
course project on joint networks: with the class map s_c of a network (`weakseg.models.joint`) and its aggregation,

    S_c = aggregate(s_c)       M_c(x, y) = max(s_c(x, y) - f_c, 0)       f_c = 0, or a little below the highest cell

Differences from the papers: the negative part of a map is removed and its maximum becomes 1, as in CAM; the paper takes
a softmax over the classes at each position, and weighs it by the photo's scores. Cells are put where they lie in the
photo (:mod:`weakseg.attribution.placement`).

Differences from :mod:`weakseg.attribution.cam`: the bias of the class convolution is part of the map, so that 0 means
"neither for nor against"; views are averaged, and cells placed, before the negative part is removed. A map may then be
negative everywhere, or positive by a rounding error: at least the upper ``least_share`` of its range is kept, because
whoever asks for a class wants to know where it would be. Whether it is there, the score says.

A group's map is the mean of its members' class maps, weighted as ``member_weighting`` says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

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
        least_share: Of each map's range, from its least to its highest cell, so much is above 0, at least; in [0, 1].
            0: what is negative always goes; 1: it always stays. The default is a guess.
    """

    method: ClassVar[Method] = "joint"
    least_share: float = 0.25

    def __post_init__(self) -> None:
        GraphSettings.__post_init__(self)  # super() does not work in a class with slots
        if not 0 <= self.least_share <= 1:
            raise ModelError(f"least_share = {self.least_share}: give a number from 0 to 1.")


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
        return lift_maps(merged, self.settings.least_share)


def lift_maps(maps: Tensor, least_share: float) -> Tensor:
    """Remove the negative part, but for what belongs to the upper share of a map's range.

    Args:
        maps: (B, K, h', w').
        least_share: In [0, 1].
    Returns:
        (B, K, h', w'), not negative.
    """
    highest, lowest = maps.amax((2, 3), keepdim=True), maps.amin((2, 3), keepdim=True)  # (B, K, 1, 1)
    floor = (highest - least_share * (highest - lowest)).clamp(max=0)  # (B, K, 1, 1)
    return (maps - floor).relu()
