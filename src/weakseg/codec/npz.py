"""Maps and labels as a NumPy archive."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weakseg.errors import ShapeMismatchError
from weakseg.types import LabelMap


def encode_npz(
    maps: NDArray[np.floating[Any]], label_map: LabelMap, names: Sequence[str], values: Sequence[int] | None = None
) -> bytes:
    """A compressed archive that ``np.load(..., allow_pickle=False)`` reads.

    It holds ``maps`` (K, H, W) float16 in [0, 1], ``label_map`` (H, W) uint8 and ``labels`` (K,) text, the name of each
    map. float16 keeps three decimals.

    Args:
        maps: (K, H, W) float32 or float16 in [0, 1].
        label_map: (H, W) uint8.
        names: K labels.
        values: What each is in the label map; also goes into the archive, as ``values`` (K,) uint8. None: 1 ... K.
    Raises:
        ShapeMismatchError: maps and label_map differ in H or W, or there are not K names.
    """
    if maps.shape != (len(names), *label_map.shape):
        raise ShapeMismatchError(f"Maps are {maps.shape}, but {len(names)} names and a {label_map.shape} label map.")
    buffer = io.BytesIO()
    stable: dict[str, Any] = {} if values is None else {"values": np.array(values, np.uint8)}
    np.savez_compressed(
        buffer,
        maps=maps.astype(np.float16, copy=False),
        label_map=label_map,
        labels=np.array(list(names), dtype=np.str_),
        **stable,
    )
    return buffer.getvalue()
