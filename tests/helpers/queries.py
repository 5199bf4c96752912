"""Queries for tests that ask a graph or a runtime directly."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from weakseg.labels import Vocabulary
from weakseg.types import Query


def ask(labels: ArrayLike, vocabulary: Vocabulary, *, rivals: int = 0) -> Query:
    """(B, K) labels, negative ones among those that compete on this model; ``rivals`` of the best others."""
    wanted = np.array(labels, np.int64)  # (B, K)
    competing = np.flatnonzero(vocabulary.rankable())  # (M,)
    among = np.tile(competing, (len(wanted), 1))  # (B, M)
    return Query(wanted, among, np.tile(-1 - np.arange(rivals), (len(wanted), 1)))


def as_tensors(query: Query) -> tuple[Tensor, Tensor, Tensor]:
    """What a graph takes beside the photos: labels (B, K), among (B, M), rivals (B, N)."""
    return torch.from_numpy(query.labels), torch.from_numpy(query.among), torch.from_numpy(query.rivals)
