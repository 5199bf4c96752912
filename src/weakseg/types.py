"""Value objects that travel through the pipeline, with their shapes.

Letters, fixed once: B batch, C classes of the network, L labels (classes, then groups), K labels asked for,
H W photo, h w network input, h' w' class map.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from weakseg.sampling import resample
from weakseg.telemetry import Telemetry

Rgb: TypeAlias = NDArray[np.uint8]  # (H, W, 3) in [0, 255], upright
LabelMap: TypeAlias = NDArray[np.uint8]  # (H, W), 0 = background, else the value of a segment of the answer
Mask: TypeAlias = NDArray[np.bool_]  # (H, W)
Maps: TypeAlias = NDArray[np.float32]  # (K, h', w') in [0, 1]


def _scale_span(start: int, stop: int, from_length: int, to_length: int) -> tuple[int, int]:
    first = min(round(start * to_length / from_length), to_length - 1)
    return first, max(round(stop * to_length / from_length), first + 1)


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

    def scaled(self, *, from_hw: tuple[int, int], to_hw: tuple[int, int]) -> Box:
        """The same rectangle in a photo of another size; never empty."""
        x0, x1 = _scale_span(self.x0, self.x1, from_hw[1], to_hw[1])
        y0, y1 = _scale_span(self.y0, self.y1, from_hw[0], to_hw[0])
        return Box(x0, y0, x1, y1)

    def grown(self, margin: float, photo_hw: tuple[int, int]) -> Box:
        """The box with ``margin`` times its own width and height added on each side, inside the photo."""
        dx, dy = round(self.width * margin), round(self.height * margin)
        height, width = photo_hw
        return Box(max(self.x0 - dx, 0), max(self.y0 - dy, 0), min(self.x1 + dx, width), min(self.y1 + dy, height))

    def relative_to(self, frame: Box) -> Box:
        """The same rectangle with the frame's corner as origin."""
        return Box(self.x0 - frame.x0, self.y0 - frame.y0, self.x1 - frame.x0, self.y1 - frame.y0)

    def as_list(self) -> list[int]:
        return [self.x0, self.y0, self.x1, self.y1]


@dataclass(frozen=True, slots=True)
class Geometry:
    """How to bring a class map back to the photo, whose cells divide it evenly: the network saw it squashed to (h, w).

    Arithmetic is in pixel areas (half-pixel centres), as in OpenCV and in ``interpolate(align_corners=False)``.

    Args:
        fine: Maps have nearly as many cells as the photo has pixels, or more; where they are brought to fewer, areas
            are averaged.
    """

    photo_hw: tuple[int, int]
    fine: bool = False

    @property
    def whole(self) -> Box:
        return Box(0, 0, self.photo_hw[1], self.photo_hw[0])

    def restore(
        self, class_map: NDArray[np.float32], part: Box | None = None, hw: tuple[int, int] | None = None
    ) -> NDArray[np.float32]:
        """Linear interpolation of one class map at the pixels of the photo, or of a part of it.

        A fine map that shrinks is averaged instead.

        Args:
            class_map: (h', w') float32, of the whole photo.
            part: Which part of the photo; None: all of it.
            hw: Height and width to which that part is scaled; None: its own.
        Returns:
            (H, W) float32.
        """
        part = part or self.whole
        height, width = hw or (part.height, part.width)
        if self.fine:
            down, across = (cells / px for cells, px in zip(class_map.shape, self.photo_hw, strict=True))
            spans = (part.y0 * down, part.y1 * down), (part.x0 * across, part.x1 * across)
            if part == self.whole:  # free of rounding
                spans = (0, class_map.shape[0]), (0, class_map.shape[1])
            return resample(class_map, *spans, (height, width))
        rows = _interpolation(part.y0, part.y1, height, self.photo_hw[0], class_map.shape[0])  # (H, h')
        columns = _interpolation(part.x0, part.x1, width, self.photo_hw[1], class_map.shape[1])  # (W, w')
        return np.asarray(rows @ class_map @ columns.T, np.float32)  # (H, W)


def _interpolation(start: int, stop: int, count: int, length: int, cells: int) -> NDArray[np.float32]:
    """(count, cells): the weight of each cell at ``count`` points spread over pixels [start, stop) of ``length``."""
    pixels = start + (np.arange(count) + 0.5) * (stop - start) / count  # (count,)
    places = np.clip(pixels * cells / length - 0.5, 0, cells - 1)  # (count,), in cells
    weights = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(cells)))  # (count, cells)
    return np.asarray(weights, np.float32)


NO_LABEL = -(2**31)  # fills up the rows of a query whose photos ask for unequally many labels


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of each photo of a batch, as label numbers; beside the photos, this is what a graph takes.

    Args:
        labels: (B, K) int64: a label in [0, L), or -r: the r-th best-scoring of ``among``. Rows are filled up by
            repeating their last label.
        among: (B, M) int64: labels in [0, L) that compete for the negative ones, M >= 1. Filled up with NO_LABEL.
        rivals: (B, N) int64, N >= 0: -r subtracts the r-th best of those labels that compete on this model (groups,
            and classes in no group) and are not among the photo's ``labels``. Only DCSM subtracts. Filled up with
            NO_LABEL. Where a photo has rivals, the labels that it asks for subtract one another too.
    """

    labels: NDArray[np.int64]  # (B, K)
    among: NDArray[np.int64]  # (B, M)
    rivals: NDArray[np.int64]  # (B, N)


@dataclass(frozen=True, slots=True)
class GraphOutput:
    """What an exported graph answers for a batch, as NumPy arrays on the host."""

    scores: NDArray[np.float32]  # (B, L) in [0, 1]: probability of each class, then of each group
    maps: NDArray[np.float32]  # (B, K, h', w') in [0, 1]: one map per label asked for
    chosen: NDArray[np.int64]  # (B, K): the label of each map, in [0, L); negative requests are resolved

    def of_photo(self, index: int, count: int) -> GraphOutput:
        """The part of one photo and its first ``count`` labels, B = 1."""
        photo = slice(index, index + 1)
        return GraphOutput(self.scores[photo], self.maps[photo, :count], self.chosen[photo, :count])


@dataclass(frozen=True, slots=True)
class Segment:
    """One label of an answer. ``value`` is its pixel value in the label map."""

    label: str
    index: int  # label index in [0, L); -1 for the object of naked GrabCut
    score: float | None  # None when the network was not asked (naked GrabCut)
    value: int  # 1 ... K; of a network that learned masks: index + 1, whatever was asked for
    category_id: int = 1  # the label's number in data sets, whatever was asked for: see `Vocabulary.category_id`


@dataclass(frozen=True, slots=True)
class Segmentation:
    """The mask of one photo before it is encoded."""

    rgb: Rgb  # (H, W, 3); smaller where the photo was decoded smaller
    label_map: LabelMap  # (H, W)
    maps: Maps  # (K, h', w'), K >= 1; (0, 0, 0) for naked GrabCut, which has no map
    geometry: Geometry  # brings the maps to (H, W)
    segments: tuple[Segment, ...]  # K
    top_scores: tuple[tuple[str, float], ...]  # best labels of the photo, best first
    warnings: tuple[str, ...] = ()
    legend: tuple[tuple[int, str], ...] = ()  # every value that this model may give, and its label; empty: of segments

    def restored_maps(self) -> Iterator[NDArray[np.float32]]:
        """Each class map at the photo's size, (H, W), one after the other: K full-size maps may not fit in memory."""
        for class_map in self.maps:
            yield self.geometry.restore(class_map)


@dataclass(frozen=True, slots=True)
class RawRequest:
    """One request as it arrived, not yet validated.

    Args:
        image: The encoded picture, or None when none was sent.
        options: Option name (lower case, underscores) to the value as sent: text, number or list.
        accept: The Accept header, or None.
        explain: True for the explanations endpoint (the heat map unless a format is asked for).
        request_id: What the log calls it; "" where nobody named it.
        sent_s: ``time.monotonic()`` when the HTTP front sent it to the worker; None where there is no front.
    """

    image: bytes | None
    options: Mapping[str, Any] = field(default_factory=dict)
    accept: str | None = None
    explain: bool = False
    request_id: str = ""
    sent_s: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, ready for any transport. ``headers`` never contains Content-Type."""

    body: bytes
    content_type: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    telemetry: Telemetry | None = None  # for the server's metrics, not for the caller
