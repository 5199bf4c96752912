"""What the graphs of all methods share: photos and a query in; scores and maps out.

A graph scores every label, finds out which labels are wanted (by number or by rank), and hands their mix of classes to
its method, which makes the maps. One step is one pure function below; :class:`LabelGraph` puts them in order, and a
method is a subclass of it with two hooks.

Everything is written so that tracing keeps batch size, image size and the number of labels dynamic: no Python number is
taken from a shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Generic, Literal, Protocol, TypeVar

import torch
from torch import Tensor, nn

from weakseg.card import Method
from weakseg.errors import ModelError
from weakseg.labels import Vocabulary

TINY = 1e-12  # a map whose maximum is below this stays (almost) zero

Rgb = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class GraphSettings:
    """What is decided at export, whatever the method.

    Args:
        scales: Views of the image, as factors of its size, whose maps are averaged.
        flip: Every view a second time, mirrored.
        member_weighting: A group's map from its members: ``mean``, or ``softmax`` (of the members' logits: their
            probabilities, renormalised within the group).
        temperature: Divides the logits of ``softmax``; higher is closer to ``mean``.
        size_correction: How far a group's score is corrected for its number of classes, in [0, 1]; groups must not
            share classes then. See :func:`score_labels`.
    """

    method: ClassVar[Method]
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    member_weighting: Literal["mean", "softmax"] = "mean"
    temperature: float = 1.0
    size_correction: float = 0.0

    def __post_init__(self) -> None:
        if not self.scales or not all(0.25 <= scale <= 4 for scale in self.scales):
            raise ModelError(f"scales = {self.scales}: give one or more factors from 0.25 to 4, e.g. 1,0.75,1.25.")
        if self.member_weighting not in ("mean", "softmax"):
            raise ModelError(f"member_weighting = {self.member_weighting!r}: give mean or softmax.")
        if not 0 <= self.size_correction <= 1:
            raise ModelError(f"size_correction = {self.size_correction}: give a number from 0 to 1.")
        if not self.temperature > 0:
            raise ModelError(f"temperature = {self.temperature}: give a number above 0.")


class Look(Protocol):
    """What a network saw in one view of the photos."""

    @property
    def logits(self) -> Tensor: ...  # (B, C)


LookT = TypeVar("LookT", bound=Look)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of each photo, resolved.

    Args:
        labels: (B, K) int64, in [0, L).
        mix: (B, K, C): how much each class gives to each map, sums to 1 over C.
        rivals: (B, N) int64: as in :class:`weakseg.types.Query`.
        scores: (B, L).
        logits: (B, C), the mean over all views.
    """

    labels: Tensor
    mix: Tensor
    rivals: Tensor
    scores: Tensor
    logits: Tensor


@dataclass(frozen=True, slots=True)
class Seen(Generic[LookT]):
    """What a network saw in a batch of photos: every view, the mean of their logits (B, C), and scores (B, L)."""

    looks: list[LookT]
    logits: Tensor
    scores: Tensor


class MapGraph(nn.Module):
    """What can be exported: photos and a query in; scores, maps and the chosen labels out (see `LabelGraph`)."""

    jumps: bool = False  # whether rounding alone may change a map by more than rounding
    scores_jump: bool = False  # whether it may change a score by more than that, as scores are made of the maps
    gives_probabilities: bool = False  # whether maps are probabilities, of which even tiny ones mean something
    membership: Tensor  # (L, C) bool: the classes of each label


class LabelGraph(MapGraph, Generic[LookT]):
    """The graph that is exported. Inputs are not modified.

    Args:
        vocabulary: C class names and G groups; L = C + G labels.
        mean, std: Of the RGB channels in [0, 1]: normalisation happens in here.
        settings: How maps are made.
        multi_label: Scores are sigmoids instead of a softmax.
    Raises:
        ModelError: groups do not fit the settings.
    """

    mean: Tensor  # (3, 1, 1), in [0, 255]
    std: Tensor  # (3, 1, 1), in [0, 255]

    def __init__(
        self, vocabulary: Vocabulary, *, mean: Rgb, std: Rgb, settings: GraphSettings, multi_label: bool
    ) -> None:
        super().__init__()
        if settings.size_correction > 0:
            refuse_shared_classes(vocabulary)
        self.settings = settings
        self.multi_label = multi_label
        self.register_buffer("mean", 255 * torch.tensor(mean)[:, None, None])
        self.register_buffer("std", 255 * torch.tensor(std)[:, None, None])
        self.register_buffer("membership", torch.from_numpy(vocabulary.membership()))

    def forward(self, images: Tensor, labels: Tensor, among: Tensor, rivals: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scores of every label, and the maps of the wanted ones.

        Args:
            images: (B, h, w, 3) uint8 RGB.
            labels, among, rivals: (B, K), (B, M) and (B, N) int64, as in :class:`weakseg.types.Query`. A rank beyond
                the number of labels that compete means the last one.
        Returns:
            scores (B, L) float32 in [0, 1], maps (B, K, h', w') float32 in [0, 1], chosen (B, K) int64 in [0, L).
        """
        seen = self.see(images)
        chosen = resolve_labels(labels, seen.scores, among)
        return seen.scores, self.explain(seen, chosen, rivals), chosen

    def see(self, images: Tensor) -> Seen[LookT]:
        """Run the network on all views of (B, h, w, 3) uint8 photos."""
        pixels = normalise_pixels(images, self.mean, self.std)
        looks = [self.look(view) for view in make_views(pixels, self.settings.scales)]
        logits = torch.stack([look.logits for look in looks]).mean(0)  # (B, C)
        scores = score_labels(
            logits, self.membership, multi_label=self.multi_label, size_correction=self.settings.size_correction
        )
        return Seen(looks, logits, scores)

    def explain(self, seen: Seen[LookT], labels: Tensor, rivals: Tensor) -> Tensor:
        """Maps of (B, K) labels in [0, L): (B, K, h', w') in [0, 1]."""
        wanted = Wanted(labels, self.mix(labels, seen.logits), rivals, seen.scores, seen.logits)
        return normalise_maps(self.make_maps(seen.looks, wanted))

    def mix(self, labels: Tensor, logits: Tensor) -> Tensor:
        """How much each class gives to each label's map: (B, K) and (B, C) to (B, K, C), sums to 1 over C."""
        return mix_members(labels, logits, self.membership, self.settings)

    def look(self, view: Tensor) -> LookT:
        """Run the network on one view, (B, 3, h, w); with ``flip``, on both sides of it."""
        raise NotImplementedError

    def make_maps(self, looks: list[LookT], wanted: Wanted) -> Tensor:
        """One map per wanted label, (B, K, h', w'), not negative, not yet divided by its maximum."""
        raise NotImplementedError


def refuse_other_classes(network: str, class_count: int, vocabulary: Vocabulary) -> None:
    """Raises: ModelError: the vocabulary names more or fewer classes than the network has."""
    if len(vocabulary.classes) != class_count:
        raise ModelError(f"{network} has {class_count} classes, not the {len(vocabulary.classes)} that are named.")


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
    members = membership[logits.shape[1] :].to(logits.dtype)  # (G, C)
    if multi_label:
        probs = logits.sigmoid()  # (B, C)
        return torch.cat([probs, (probs[:, None, :] * members).amax(2)], 1)  # (B, L)
    probs = logits.softmax(1)  # (B, C)
    sums = probs @ members.T  # (B, G)
    if size_correction > 0:
        shares = sums / members.sum(1) ** size_correction  # (B, G)
        sums = sums.sum(1, keepdim=True) * shares / shares.sum(1, keepdim=True).clamp(min=TINY)  # (B, G)
    return torch.cat([probs, sums.clamp(max=1)], 1)  # (B, L); a sum of float32 may exceed 1


def resolve_labels(labels: Tensor, scores: Tensor, among: Tensor) -> Tensor:
    """Wanted labels, negative ones replaced by the r-th best-scoring of those that compete.

    Args:
        labels: (B, K) int64: a label, or -r.
        scores: (B, L).
        among: (B, M) int64: the labels that compete; negative entries only fill up a row.
    Returns:
        (B, K) int64 in [0, L).
    """
    fills = among < 0  # (B, M)
    competing = scores.gather(1, among.clamp(min=0)).masked_fill(fills, -1)  # (B, M)
    ranking = among.gather(1, competing.argsort(1, descending=True))  # (B, M)
    last = (~fills).sum(1, keepdim=True) - 1  # (B, 1)
    rank = torch.minimum((-labels - 1).clamp(min=0), last)  # (B, K)
    return torch.where(labels < 0, ranking.gather(1, rank), labels)  # (B, K)


def mix_members(chosen: Tensor, logits: Tensor, membership: Tensor, settings: GraphSettings) -> Tensor:
    """How much each class gives to each wanted map: (B, K) labels to (B, K, C), sums to 1 over C."""
    members = membership[chosen]  # (B, K, C)
    if settings.member_weighting == "mean":
        shares = members.to(logits.dtype)  # (B, K, C)
        return shares / shares.sum(2, keepdim=True)  # (B, K, C)
    rivals = (logits / settings.temperature)[:, None, :].masked_fill(~members, float("-inf"))  # (B, K, C)
    return rivals.softmax(2)  # (B, K, C)


def normalise_maps(maps: Tensor) -> Tensor:
    """Divide each map by its maximum: (B, K, h', w'), not negative, to [0, 1]."""
    return maps / maps.amax((2, 3), keepdim=True).clamp(min=TINY)  # (B, K, h', w')
