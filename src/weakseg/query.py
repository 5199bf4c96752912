"""What is asked of a batch, out of what is asked of its photos."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from weakseg.types import NO_LABEL, Query


def best_ranks(count: int) -> NDArray[np.int64]:
    """The best-scoring label, the second best ...: -1, -2 ... -count."""
    return -np.arange(1, count + 1)


def join_queries(queries: Sequence[Query]) -> Query:
    """One query per photo to that of their batch."""
    labels = [query.labels[0] for query in queries]
    return Query(
        _stack(labels, fills=[row[-1] for row in labels]),
        _stack([query.among[0] for query in queries]),
        _stack([query.rivals[0] for query in queries]),
    )


def split_queries(queries: Sequence[Query], most: int | None) -> list[slice]:
    """Runs of neighbouring photos whose joined queries ask for at most so many backward passes.

    A photo that asks for more has a run of its own.

    Args:
        most: Photos times labels and rivals; None: as many as it takes.
    """
    starts, widest = [0], 0
    for index, query in enumerate(queries):
        width = query.labels.shape[1] + query.rivals.shape[1]
        if most is not None and index > starts[-1] and max(widest, width) * (index + 1 - starts[-1]) > most:
            starts.append(index)
            widest = 0
        widest = max(widest, width)
    return [slice(start, stop) for start, stop in zip(starts, [*starts[1:], len(queries)], strict=True)]


def _stack(rows: Sequence[NDArray[np.int64]], fills: Sequence[int] | None = None) -> NDArray[np.int64]:
    """Rows of unequal length to (B, longest), each filled up with its own fill, or with NO_LABEL."""
    stacked = np.full((len(rows), max(map(len, rows))), NO_LABEL)
    for index, row in enumerate(rows):
        stacked[index] = fills[index] if fills else NO_LABEL
        stacked[index, : len(row)] = row
    return stacked
