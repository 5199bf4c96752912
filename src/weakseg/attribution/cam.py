"""Class activation maps as one graph: photos and wanted labels in; scores and maps out.

Zhou et al., *Learning deep features for discriminative localization* (CVPR 2016), as used by GrabCut-CAM (section 2):
with features f_k, head weights w_kc and bias b_c,

    linear head (ResNet ...):       S_c = mean_xy sum_k w_kc f_k(x, y) + b_c       M_c = sum_k w_kc f_k
    rectified head (SqueezeNet):    S_c = mean_xy M_c(x, y)                        M_c = relu(sum_k w_kc f_k + b_c)

Differences from the paper: means instead of sums over positions (as the networks do); the negative part of a map is
removed and its maximum becomes 1. SqueezeNet's bias is inside its map, because S_c = mean M_c holds only so; the bias
of a linear head is one number for the whole map and is left out. With ``positive_weights`` the map is
sum_k max(w_kc, 0) f_k, without a bias for either head, while the scores keep the true weights.

A group's map (VOC's ``dog`` from 118 ImageNet dogs) is a weighted mean of its members' maps: before the negative part
is removed where the map is linear in the features, after SqueezeNet's own ReLU otherwise.

Three steps beyond the paper are off by default, and were chosen on photos that the reported figures do not use
(docs/results/grabcut_cam.md):

- ``contrast``: the mean of all classes' positive weights, scaled to the same sum, is subtracted from a label's weights
  before the map is made: what every class sees (edges, texture) leaves the map, what this label sees stays.
- ``similarity``: each cell's value becomes the mean of all cells' values, weighted by how similar their features are;
  see :func:`average_by_similarity`.
- ``scales`` and ``flip``: several views of the photo, whose maps are averaged.

Cells are put where they lie in the photo (:mod:`weakseg.attribution.placement`) instead of being stretched over it.

One step is one pure function below; :class:`CamGraph` puts them in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from weakseg.attribution.graph import TINY, GraphSettings, LabelGraph, Rgb, Wanted, refuse_other_classes
from weakseg.attribution.placement import merge_views
from weakseg.card import Method
from weakseg.errors import ModelError
from weakseg.labels import Vocabulary
from weakseg.models.split import SplitNetwork, pool_logits, rectified_class_maps

FLAT = 1e-6  # of a map's maximum: means that differ by less differ by rounding alone


@dataclass(frozen=True, slots=True)
class CamSettings(GraphSettings):
    """What is decided at export about how maps are made. The defaults are the paper's plain map.

    With several ``scales``, maps are averaged at the first view's map size; with ``flip``, the two feature maps are.

    Args:
        positive_weights: Maps keep only the head's positive weights; scores keep all.
        contrast: How much of the mean class is subtracted, in [0, 1]; needs ``positive_weights``.
        similarity: Average the map over cells with similar features.
    """

    method: ClassVar[Method] = "cam"
    positive_weights: bool = False
    contrast: float = 0.0
    similarity: bool = False

    def __post_init__(self) -> None:
        GraphSettings.__post_init__(self)  # super() does not work in a class with slots
        if not 0 <= self.contrast <= 1 or (self.contrast > 0 and not self.positive_weights):
            raise ModelError(f"contrast = {self.contrast}: give a number from 0 to 1, together with positive weights.")


@dataclass(frozen=True, slots=True)
class Features:
    """What the network saw in one view."""

    view: Tensor  # (B, 3, h, w)
    features: Tensor  # (B, F, h', w')
    logits: Tensor  # (B, C)


class CamGraph(LabelGraph[Features]):
    """Class activation maps; see :class:`weakseg.attribution.graph.LabelGraph` for what goes in and out.

    Args:
        network: The classifier, split; its features and head are used as they are.
        settings: How maps are made.
    Raises:
        ModelError: classes or groups do not fit the network or the settings.
    """

    settings: CamSettings
    weight: Tensor  # (C, F)
    bias: Tensor  # (C,)

    def __init__(
        self,
        network: SplitNetwork,
        vocabulary: Vocabulary,
        *,
        mean: Rgb,
        std: Rgb,
        settings: CamSettings | None = None,
        multi_label: bool = False,
    ) -> None:
        super().__init__(vocabulary, mean=mean, std=std, settings=settings or CamSettings(), multi_label=multi_label)
        refuse_other_classes(network.name, network.class_count, vocabulary)
        self.rectified = network.rectified
        self.features = network.features
        self.grid = network.grid
        self.register_buffer("weight", network.weight)
        self.register_buffer("bias", network.bias)
        self.eval()

    def make_maps(self, looks: list[Features], wanted: Wanted) -> Tensor:
        """(B, K, h', w'), the mean over the views."""
        maps = [self.label_maps(look.features, wanted.mix) for look in looks]
        return merge_views(maps, [look.view for look in looks], self.grid, like=looks[0].features)

    def look(self, view: Tensor) -> Features:
        """Features and logits of a view, (B, 3, h, w); with ``flip``, the means of both sides."""
        features: Tensor = self.features(view)
        if not self.settings.flip:
            return Features(view, features, self.logits(features))
        mirrored: Tensor = self.features(view.flip(3))
        logits = (self.logits(features) + self.logits(mirrored)) / 2
        return Features(view, (features + mirrored.flip(3)) / 2, logits)

    def logits(self, features: Tensor) -> Tensor:
        """(B, F, h', w') to (B, C)."""
        return pool_logits(features, self.weight, self.bias, rectified=self.rectified)

    def label_maps(self, features: Tensor, mix: Tensor) -> Tensor:
        """Maps of one view, not yet normalised: features (B, F, h', w') and mix (B, K, C) to (B, K, h', w'), >= 0."""
        if self.rectified and not self.settings.positive_weights:
            maps = mix_channels(mix, rectified_class_maps(features, self.weight, self.bias))
        else:
            maps = mix_channels(weigh_channels(mix, self.weight, self.settings), features).relu()
        return average_by_similarity(maps, features) if self.settings.similarity else maps


def weigh_channels(mix: Tensor, weight: Tensor, settings: CamSettings) -> Tensor:
    """Each label's weights of the features: (B, K, C) and the head's (C, F) to (B, K, F)."""
    weight = weight.clamp(min=0) if settings.positive_weights else weight
    return subtract_mean_class(mix @ weight, weight.mean(0), settings.contrast)


def mix_channels(mix: Tensor, channels: Tensor) -> Tensor:
    """Weighted sums of channels at every position: (B, K, N) and (B, N, h', w') to (B, K, h', w')."""
    mixed = mix @ channels.flatten(2)  # (B, K, h' w')
    return mixed.reshape(mix.shape[0], mix.shape[1], channels.shape[2], channels.shape[3])  # (B, K, h', w')


def subtract_mean_class(weights: Tensor, mean_weight: Tensor, contrast: float) -> Tensor:
    """Take ``contrast`` times the mean class, scaled to the same sum, from each label's weights.

    Args:
        weights: (B, K, F), not negative.
        mean_weight: (F,): the mean of all classes' weights, not negative.
    Returns:
        (B, K, F); its sum over F is (1 - contrast) times that of ``weights``.
    """
    if contrast == 0:
        return weights
    share = weights.sum(2, keepdim=True) / mean_weight.sum()  # (B, K, 1)
    return weights - contrast * share * mean_weight


def average_by_similarity(maps: Tensor, features: Tensor) -> Tensor:
    """Each cell's value becomes the mean over all cells, weighted by the cosine similarity of their features.

    With unit features u_i, seeds m_j and similarities s_ij = u_i . u_j >= 0:

        m'_i = sum_j s_ij m_j / sum_j s_ij = (u_i . sum_j m_j u_j) / (u_i . sum_j u_j)

    so that no matrix of all pairs is needed. A part of the object that spoke weakly for the class, but looks to the
    network like the parts that spoke loudly, is raised. Like the pixel correlation module of SEAM (Wang et al., CVPR
    2020), without its trained embedding. The result is stretched to [0, 1], then given the map's old maximum. Where
    there is nothing to stretch, because all means are equal but for rounding (a map of one value or of one cell;
    features that look alike everywhere), the map stays as it was.

    Args:
        maps: (B, K, h', w'), not negative.
        features: (B, F, h', w'); negative values count as 0.
    """
    positive = features.relu().flatten(2)  # (B, F, N)
    units = positive / positive.norm(dim=1, keepdim=True).clamp(min=TINY)  # (B, F, N)
    seeds = maps.flatten(2)  # (B, K, N)
    centred = seeds - seeds.mean(2, keepdim=True)  # (B, K, N); shifts m' by a constant, and keeps its digits
    towards_seeds = (centred @ units.transpose(1, 2)) @ units  # (B, K, N)
    towards_all = units.sum(2, keepdim=True).transpose(1, 2) @ units  # (B, 1, N)
    means = towards_seeds / towards_all.clamp(min=TINY)  # (B, K, N)
    lifted = means - means.amin(2, keepdim=True)  # (B, K, N)
    spread, peak = lifted.amax(2, keepdim=True), seeds.amax(2, keepdim=True)  # (B, K, 1)
    averaged = lifted / spread.clamp(min=TINY) * peak  # (B, K, N)
    return torch.where(spread > FLAT * peak, averaged, seeds).view_as(maps)  # (B, K, h', w')
