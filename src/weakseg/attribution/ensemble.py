"""Several graphs as one: each explains the labels in its own way, and their maps and scores are averaged.

Networks make different mistakes, so the mean of their maps is better than either. The graphs may have different
classes: the labels are those of the first one, and another takes part in those that it knows by name (VOC's ``dog`` is
a class of a network that was trained on VOC, and a group of one that knows ImageNet's dogs).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from weakseg.attribution.graph import TINY, LabelGraph, MapGraph, normalise_maps, resolve_labels
from weakseg.errors import ModelError
from weakseg.labels import Vocabulary


@dataclass(frozen=True, slots=True)
class Member:
    """One graph of an ensemble, what it calls its labels, and how much it counts."""

    graph: LabelGraph[Any]
    vocabulary: Vocabulary
    map_weight: float = 1.0
    score_weight: float = 1.0


class EnsembleGraph(MapGraph):
    """Weighted means of the members' scores and maps; see :class:`weakseg.attribution.graph.LabelGraph` for inputs.

    A member that does not know a label takes no part in it. All members see the photo at the same size; each has its
    own views and its own normalisation. Maps get the size of the first member's.

    Args:
        members: Two or more; the first one's vocabulary is the ensemble's.
    Raises:
        ModelError: fewer than two, a member that shares no label with the first, or weights that leave a label without
            a score or a map.
    """

    indices: Tensor  # (members, L) int64: what each member calls the label; 0 where it does not know it
    map_shares: Tensor  # (members, L), sums to 1 over members
    score_shares: Tensor  # (members, L), sums to 1 over members

    def __init__(self, members: Sequence[Member]) -> None:
        super().__init__()
        if len(members) < 2:
            raise ModelError(f"An ensemble needs two graphs or more, not {len(members)}.")
        vocabulary = members[0].vocabulary
        places = torch.tensor([_find_labels(member.vocabulary, vocabulary) for member in members])  # (members, L)
        if not (places >= 0).any(1).all():
            raise ModelError(f"Every graph needs labels of the first one, such as {', '.join(vocabulary.names[-3:])}.")
        self.graphs = nn.ModuleList(member.graph for member in members)
        self.jumps = any(member.graph.jumps for member in members)
        self.register_buffer("membership", members[0].graph.membership)
        self.register_buffer("indices", places.clamp(min=0))
        self.register_buffer("map_shares", _share([member.map_weight for member in members], places, vocabulary))
        self.register_buffer("score_shares", _share([member.score_weight for member in members], places, vocabulary))
        self.eval()

    @property
    def members(self) -> list[LabelGraph[Any]]:
        return [cast(LabelGraph[Any], graph) for graph in self.graphs]

    def forward(self, images: Tensor, labels: Tensor, among: Tensor, rivals: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As :meth:`weakseg.attribution.graph.LabelGraph.forward`."""
        seen = [graph.see(images) for graph in self.members]
        scores = sum(
            each.scores[:, self.indices[place]] * self.score_shares[place] for place, each in enumerate(seen)
        )  # (B, L)
        assert isinstance(scores, Tensor)
        chosen = resolve_labels(labels, scores, among)
        maps: list[Tensor] = []
        for place, graph in enumerate(self.members):
            made = graph.explain(seen[place], self.indices[place][chosen], rivals)  # (B, K, h', w') of this member
            resized = nn.functional.interpolate(made, size=maps[0].shape[2:], mode="bilinear") if maps else made
            maps.append(resized * self.map_shares[place][chosen][:, :, None, None])  # (B, K, h', w') of the first
        return scores, normalise_maps(torch.stack(maps).sum(0)), chosen


def _find_labels(own: Vocabulary, wanted: Vocabulary) -> list[int]:
    """What a member calls each wanted label; -1 where it does not know it. ImageNet names two of its classes alike."""
    if own.names == wanted.names:
        return list(range(len(own)))
    return [own.names.index(name) if name in own.names else -1 for name in wanted.names]


def _share(weights: Sequence[float], places: Tensor, vocabulary: Vocabulary) -> Tensor:
    """Each member's part in each label, (members, L): its weight where it knows the label, divided by the sum."""
    known = torch.tensor(weights, dtype=torch.float32)[:, None] * (places >= 0)  # (members, L)
    total = known.sum(0)  # (L,)
    if bool((known < 0).any()) or not bool((total > TINY).all()):
        nobody = [name for name, sum_ in zip(vocabulary.names, total.tolist(), strict=True) if not sum_ > TINY]
        raise ModelError(f"Weights {list(weights)}: give 0 or more, and leave no label without one ({nobody[:3]}).")
    return known / total  # (members, L)
