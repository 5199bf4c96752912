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
(docs/results/voc.md):

- ``contrast``: the mean of all classes' positive weights, scaled to the same sum, is subtracted from a label's weights
  before the map is made: what every class sees (edges, texture) leaves the map, what this label sees stays.
- ``similarity``: each cell's value becomes the mean of all cells' values, weighted by how similar their features are;
  see :func:`average_by_similarity`.
- ``scales`` and ``flip``: several views of the photo, whose maps are averaged.

Cells are put where they lie in the photo (:mod:`weakseg.attribution.placement`) instead of being stretched over it.

One step is one pure function below; :class:`CamGraph` puts them in order. Everything is written so that tracing keeps
batch size, image size and the number of labels dynamic: no Python number is taken from a shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from weakseg.attribution.placement import merge_views
from weakseg.errors import ModelError
from weakseg.labels import Vocabulary
from weakseg.models.split import SplitNetwork, pool_logits, rectified_class_maps

TINY = 1e-12  # a map whose maximum is below this stays (almost) zero
FLAT = 1e-6  # of a map's maximum: means that differ by less differ by rounding alone


@dataclass(frozen=True, slots=True)
class CamSettings:
    """What is decided at export about how maps are made. The defaults are the paper's plain map.

    Args:
        positive_weights: Maps keep only the head's positive weights; scores keep all.
        scales: Views of the image, as factors of its size; maps are averaged at the first view's map size.
        flip: Every view a second time, mirrored; the two feature maps are averaged.
        member_weighting: A group's map from its members' maps: ``mean``, or ``softmax`` (of the members' logits: their
            probabilities, renormalised within the group).
        temperature: Divides the logits of ``softmax``; higher is closer to ``mean``.
        size_correction: How far a group's score is corrected for its number of classes, in [0, 1]; groups must not
            share classes then. See :func:`score_labels`.
        contrast: How much of the mean class is subtracted, in [0, 1]; needs ``positive_weights``.
        similarity: Average the map over cells with similar features.
    """

    positive_weights: bool = False
    size_correction: float = 0.0
    contrast: float = 0.0
    similarity: bool = False
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    member_weighting: Literal["mean", "softmax"] = "mean"
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not self.scales or not all(0.25 <= scale <= 4 for scale in self.scales):
            raise ModelError(f"scales = {self.scales}: give one or more factors from 0.25 to 4, e.g. 1,0.75,1.25.")
        if self.member_weighting not in ("mean", "softmax"):
            raise ModelError(f"member_weighting = {self.member_weighting!r}: give mean or softmax.")
        if not 0 <= self.contrast <= 1 or (self.contrast > 0 and not self.positive_weights):
            raise ModelError(f"contrast = {self.contrast}: give a number from 0 to 1, together with positive weights.")
        if not 0 <= self.size_correction <= 1:
            raise ModelError(f"size_correction = {self.size_correction}: give a number from 0 to 1.")
        if not self.temperature > 0:
            raise ModelError(f"temperature = {self.temperature}: give a number above 0.")


class CamGraph(nn.Module):
    """The graph that is exported. Inputs are not modified.

    Args:
        network: The classifier, split; its features and head are used as they are.
        vocabulary: C class names and G groups; L = C + G labels.
        mean, std: Of the RGB channels in [0, 1]: normalisation happens in here.
        settings: How maps are made.
        multi_label: Scores are sigmoids instead of a softmax.
    Raises:
        ModelError: classes or groups do not fit the network or the settings.
    """

    mean: Tensor  # (3, 1, 1), in [0, 255]
    std: Tensor  # (3, 1, 1), in [0, 255]
    weight: Tensor  # (C, F)
    bias: Tensor  # (C,)
    membership: Tensor  # (L, C) bool
    candidates: Tensor  # (R,) int64: labels that compete for "the best one"

    def __init__(
        self,
        network: SplitNetwork,
        vocabulary: Vocabulary,
        *,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        settings: CamSettings | None = None,
        multi_label: bool = False,
    ) -> None:
        super().__init__()
        if len(vocabulary.classes) != network.class_count:
            raise ModelError(
                f"{network.name} has {network.class_count} classes, not the {len(vocabulary.classes)} that are named."
            )
        self.settings = settings or CamSettings()
        if self.settings.size_correction > 0:
            refuse_shared_classes(vocabulary)
        self.multi_label = multi_label
        self.rectified = network.rectified
        self.features = network.features
        self.grid = network.grid
        self.register_buffer("mean", 255 * torch.tensor(mean)[:, None, None])
        self.register_buffer("std", 255 * torch.tensor(std)[:, None, None])
        self.register_buffer("weight", network.weight)
        self.register_buffer("bias", network.bias)
        self.register_buffer("membership", torch.from_numpy(vocabulary.membership()))
        self.register_buffer("candidates", torch.from_numpy(np.flatnonzero(vocabulary.rankable())))
        self.eval()

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scores of every label, and the maps of the wanted ones.

        Args:
            images: (B, h, w, 3) uint8 RGB.
            labels: (B, K) int64: a label in [0, L), or -r for the r-th best label of that image among those that
                compete (groups, and classes in no group); r beyond their number means the last one.
        Returns:
            scores (B, L) float32 in [0, 1], maps (B, K, h', w') float32 in [0, 1], chosen (B, K) int64 in [0, L).
        """
        views = make_views(normalise_pixels(images, self.mean, self.std), self.settings.scales)
        features, logits = zip(*(self.look(view) for view in views), strict=True)  # (B, F, h', w'), (B, C) per view
        mean_logits = torch.stack(logits).mean(0)  # (B, C)
        scores = score_labels(
            mean_logits,
            self.membership,
            multi_label=self.multi_label,
            size_correction=self.settings.size_correction,
        )
        chosen = resolve_labels(labels, scores, self.candidates)
        mix = mix_members(chosen, mean_logits, self.membership, self.settings)
        maps = [self.label_maps(each, mix) for each in features]
        return scores, normalise_maps(merge_views(maps, views, self.grid, like=features[0])), chosen

    def look(self, view: Tensor) -> tuple[Tensor, Tensor]:
        """Features and logits of a view, (B, 3, h, w) to (B, F, h', w') and (B, C); with ``flip``, of both sides."""
        features: Tensor = self.features(view)
        if not self.settings.flip:
            return features, self.logits(features)
        mirrored: Tensor = self.features(view.flip(3))
        logits = (self.logits(features) + self.logits(mirrored)) / 2
        return (features + mirrored.flip(3)) / 2, logits

    def logits(self, features: Tensor) -> Tensor:
        """(B, F, h', w') to (B, C)."""
        return pool_logits(features, self.weight, self.bias, rectified=self.rectified)

    def label_maps(self, features: Tensor, mix: Tensor) -> Tensor:
        """Maps of one view, not yet normalised: features (B, F, h', w') and mix (B, K, C) to (B, K, h', w'), >= 0."""
        if self.rectified and not self.settings.positive_weights:
            maps = mix_channels(mix, rectified_class_maps(features, self.weight, self.bias))
        else:
            weight = self.weight.clamp(min=0) if self.settings.positive_weights else self.weight  # (C, F)
            weights = subtract_mean_class(mix @ weight, weight.mean(0), self.settings.contrast)  # (B, K, F)
            maps = mix_channels(weights, features).relu()
        return average_by_similarity(maps, features) if self.settings.similarity else maps


def refuse_shared_classes(vocabulary: Vocabulary) -> None:
    """Sharing out anew what all groups have together would count a shared class twice. Raises: ModelError."""
    owners: dict[int, str] = {}
    for group, members in vocabulary.groups.items():
        for index in members:
            other = owners.setdefault(index, group)
            if other != group:
                raise ModelError(
                    f"size_correction: groups {other!r} and {group!r} share class {index} "
                    f"({vocabulary.classes[index]!r}). Take it out of one of them, or set size_correction to 0."
                )


def normalise_pixels(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """(B, h, w, 3) uint8 to (B, 3, h, w) float32; mean and std are (3, 1, 1), in [0, 255]."""
    return (images.permute(0, 3, 1, 2).float() - mean) / std  # (B, 3, h, w)


def make_views(pixels: Tensor, scales: tuple[float, ...]) -> list[Tensor]:
    """(B, 3, h, w) at every scale."""
    return [resize_by(pixels, scale) for scale in scales]


def resize_by(pixels: Tensor, scale: float) -> Tensor:
    """Bilinear, half-pixel centres, no antialiasing; sizes round half up.

    Sizes are computed with integers, because runtimes round products of floats differently.
    """
    if scale == 1:
        return pixels
    ratio = Fraction(scale).limit_denominator(1000)
    height, width = (
        (side * (2 * ratio.numerator) + ratio.denominator) // (2 * ratio.denominator) for side in pixels.shape[2:]
    )
    return nn.functional.interpolate(pixels, size=(height, width), mode="bilinear", align_corners=False)


def score_labels(logits: Tensor, membership: Tensor, *, multi_label: bool, size_correction: float) -> Tensor:
    """Scores of classes, then of groups: (B, C) logits to (B, L) in [0, 1].

    Sigmoids: a group's score is that of its best member. Softmax: a group's score is the sum p_g of its members'
    probabilities; with ``size_correction`` s, what all groups have together is shared out anew, in proportion to
    p_g / size_g ** s. At s = 0 a group of 118 classes (VOC's dog) collects probability from all that looks a little
    like one of them; at s = 1 every group is as likely beforehand as any other.
    """
    members = membership[logits.shape[1] :].float()  # (G, C)
    if multi_label:
        probs = logits.sigmoid()  # (B, C)
        return torch.cat([probs, (probs[:, None, :] * members).amax(2)], 1)  # (B, L)
    probs = logits.softmax(1)  # (B, C)
    sums = probs @ members.T  # (B, G)
    if size_correction > 0:
        shares = sums / members.sum(1) ** size_correction  # (B, G)
        sums = sums.sum(1, keepdim=True) * shares / shares.sum(1, keepdim=True).clamp(min=TINY)  # (B, G)
    return torch.cat([probs, sums.clamp(max=1)], 1)  # (B, L); a sum of float32 may exceed 1


def resolve_labels(labels: Tensor, scores: Tensor, candidates: Tensor) -> Tensor:
    """(B, K) wanted labels, negative ones replaced by the r-th best candidate of (B, L) scores."""
    ranking = candidates[scores[:, candidates].argsort(1, descending=True)]  # (B, R)
    rank = (-labels - 1).clamp(0, candidates.shape[0] - 1)  # (B, K)
    return torch.where(labels < 0, ranking.gather(1, rank), labels)  # (B, K)


def mix_members(chosen: Tensor, logits: Tensor, membership: Tensor, settings: CamSettings) -> Tensor:
    """How much each class gives to each wanted map: (B, K) labels to (B, K, C), sums to 1 over C."""
    members = membership[chosen]  # (B, K, C)
    if settings.member_weighting == "mean":
        return members.float() / members.float().sum(2, keepdim=True)  # (B, K, C)
    rivals = (logits / settings.temperature)[:, None, :].masked_fill(~members, float("-inf"))  # (B, K, C)
    return rivals.softmax(2)  # (B, K, C)


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


def normalise_maps(maps: Tensor) -> Tensor:
    """Divide each map by its maximum: (B, K, h', w'), not negative, to [0, 1]."""
    return maps / maps.amax((2, 3), keepdim=True).clamp(min=TINY)  # (B, K, h', w')
