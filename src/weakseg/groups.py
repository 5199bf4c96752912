"""Which photos of a batch share a forward pass."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from weakseg.card import ModelCard
from weakseg.options import MAX_PASSES
from weakseg.plan import Plan
from weakseg.query import split_queries
from weakseg.types import Query

PIXELS_AT_ONCE = 2**20  # of one forward pass of a network that labels pixels: its feature maps are as large


def pulls_back(card: ModelCard) -> bool:
    """Whether each label costs a backward pass."""
    return card.method not in ("cam", "joint", "pixels")


def group_plans(plans: Iterable[tuple[int, Plan]], card: ModelCard) -> list[list[int]]:
    """Indices of plans that share a forward pass, by input shape. Naked GrabCut is in no group, nor are tiles.

    With gradients they ask for equally many labels and rivals too, so that nobody pays for a neighbour's, and for at
    most MAX_PASSES backward passes together: gradients of every label are in memory at once. Networks that label pixels
    see PIXELS_AT_ONCE at most, or one photo.
    """
    groups: dict[tuple[int, ...], list[tuple[int, Query]]] = defaultdict(list)
    for index, plan in plans:
        if plan.network_input is not None and plan.query is not None and plan.tiling is None:
            asked = (plan.query.labels.shape[1], plan.query.rivals.shape[1]) if pulls_back(card) else ()
            groups[(*plan.network_input.shape, *asked)].append((index, plan.query))
    return [
        [index for index, _ in group[part]]
        for shape, group in groups.items()
        for part in _split(card, shape, [query for _, query in group])
    ]


def _split(card: ModelCard, shape: tuple[int, ...], queries: Sequence[Query]) -> list[slice]:
    """Parts of a group, each for one forward pass."""
    if not card.labels_pixels:
        return split_queries(queries, MAX_PASSES if pulls_back(card) else None)
    size = max(PIXELS_AT_ONCE // (shape[0] * shape[1]), 1)
    return [slice(start, start + size) for start in range(0, len(queries), size)]
