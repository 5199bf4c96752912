"""Value objects that travel through the pipeline, with their shapes.

Letters, fixed once: B batch, C classes of the network, L labels (classes, then groups), K labels asked for,
H W photo, h w network input, h' w' class map.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Rgb: TypeAlias = NDArray[np.uint8]  # (H, W, 3) in [0, 255], upright
LabelMap: TypeAlias = NDArray[np.uint8]  # (H, W), 0 = background, k = k-th segment of the answer
Mask: TypeAlias = NDArray[np.bool_]  # (H, W)
Maps: TypeAlias = NDArray[np.float32]  # (K, H, W) in [0, 1]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in the upright photo: pixels, x1 and y1 exclusive, 0 <= x0 < x1 <= W, 0 <= y0 < y1 <= H."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def width(self) -> int:
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        return self.y1 - self.y0

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns: ``photo[box.slices]`` is the part inside the box."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def as_list(self) -> list[int]:
        return [self.x0, self.y0, self.x1, self.y1]


@dataclass(frozen=True, slots=True)
class GraphOutput:
    """What an exported graph answers for a batch, as NumPy arrays on the host."""

    scores: NDArray[np.float32]  # (B, L) in [0, 1]: probability of each class, then of each group
    maps: NDArray[np.float32]  # (B, K, h', w') in [0, 1]: one map per label asked for
    labels: NDArray[np.int64]  # (B, K): the label of each map, in [0, L); negative requests are resolved


@dataclass(frozen=True, slots=True)
class Segment:
    """One label of an answer. ``value`` is its pixel value in the label map."""

    label: str
    index: int  # label index in [0, L); -1 for the object of naked GrabCut
    score: float | None  # None when the network was not asked (naked GrabCut)
    value: int  # 1 ... K


@dataclass(frozen=True, slots=True)
class Segmentation:
    """The mask of one photo before it is encoded."""

    rgb: Rgb  # (H, W, 3)
    label_map: LabelMap  # (H, W)
    maps: Maps  # (K, H, W); K = 0 for naked GrabCut
    segments: tuple[Segment, ...]
    top_scores: tuple[tuple[str, float], ...]  # best labels of the photo, best first
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RawRequest:
    """One request as it arrived, not yet validated.

    Args:
        image: The encoded picture, or None when none was sent.
        options: Option name (lower case, underscores) to the value as sent: text, number or list.
        accept: The Accept header, or None.
        explain: True for the explanations endpoint (the heat map unless a format is asked for).
    """

    image: bytes | None
    options: Mapping[str, Any] = field(default_factory=dict)
    accept: str | None = None
    explain: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, ready for any transport. ``headers`` never contains Content-Type."""

    body: bytes
    content_type: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
