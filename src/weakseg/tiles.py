"""A large photo through a network piece by piece: overlapping tiles, blended so that no seam shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weakseg.types import Geometry, GraphOutput, Maps, Query, Rgb

OVERLAP = 0.25  # of a tile's side that it shares with the next one, at least
TILES_AT_ONCE = 4
VALUES_AT_ONCE = 2**23  # of the maps of one forward pass, at most: 32 MB. A tile whose maps hold more goes alone.

Run = Callable[[NDArray[np.uint8], Query], GraphOutput]
Corner = tuple[int, int]  # the place of a tile in rows and columns of tiles


@dataclass(frozen=True, slots=True)
class Tiling:
    """Where tiles of one size lie in a picture: spread evenly, the outer ones at its border."""

    picture_hw: tuple[int, int]
    tile_hw: tuple[int, int]  # no side longer than the picture's
    tops: tuple[int, ...]
    lefts: tuple[int, ...]

    @classmethod
    def over(cls, picture_hw: tuple[int, int], tile_hw: tuple[int, int]) -> Tiling:
        """As few tiles as cover the picture, neighbours sharing a quarter of their sides or more."""
        height, width = (min(tile, whole) for tile, whole in zip(tile_hw, picture_hw, strict=True))
        tops, lefts = _spread(height, picture_hw[0]), _spread(width, picture_hw[1])
        return cls(picture_hw, (height, width), tops, lefts)

    @property
    def count(self) -> int:
        return len(self.tops) * len(self.lefts)

    def places(self) -> list[Corner]:
        return [(row, column) for row in range(len(self.tops)) for column in range(len(self.lefts))]

    def slices(self, place: Corner) -> tuple[slice, slice]:
        """Rows and columns of one tile in the picture."""
        top, left = self.tops[place[0]], self.lefts[place[1]]
        return slice(top, top + self.tile_hw[0]), slice(left, left + self.tile_hw[1])

    def weights(self, place: Corner) -> NDArray[np.float32]:
        """(h, w): how much each pixel of one tile counts; over all tiles that show a pixel the sum is 1."""
        rows, columns = self.slices(place)
        down = ramps(self.tops, self.tile_hw[0])[place[0], rows]  # (h,)
        across = ramps(self.lefts, self.tile_hw[1])[place[1], columns]  # (w,)
        return np.asarray(np.outer(down, across), np.float32)  # (h, w)


def _spread(length: int, whole: int) -> tuple[int, ...]:
    """Starts of pieces of a length, from 0 to ``whole - length``."""
    most = max(math.floor(length * (1 - OVERLAP)), 1)  # from one start to the next
    gaps = math.ceil((whole - length) / most)
    return tuple(round(index * (whole - length) / gaps) for index in range(gaps + 1)) if gaps else (0,)


def ramps(starts: tuple[int, ...], length: int) -> NDArray[np.float32]:
    """How much each piece counts along one axis: rising over its first quarter, falling over its last.

    Where more than two pieces overlap, or two by more than a quarter, weights are divided by their sum.

    Returns:
        (pieces, whole) float32, columns sum to 1; ``whole`` is where the last piece ends.
    """
    whole = starts[-1] + length
    pixels = np.arange(whole) + 0.5  # (whole,)
    reach = max(length * OVERLAP, 1.0)
    begins = np.array(starts)[:, None]  # (pieces, 1)
    rise, fall = (pixels - begins) / reach, (begins + length - pixels) / reach  # (pieces, whole)
    inside = (rise > 0) & (fall > 0)
    rise[0], fall[-1] = 1, 1  # nothing else shows the picture's border
    weights = np.clip(np.minimum(rise, fall), 0, 1) * inside
    return np.asarray(weights / weights.sum(axis=0), np.float32)  # (pieces, whole)


def run_tiles(run: Run, picture: Rgb, query: Query, tiling: Tiling, before_each: Callable[[], None]) -> GraphOutput:
    """One photo's scores and maps, from those of its tiles.

    A label's score is the highest that it has in any tile, whose border counts as a photo's does. Labels that are asked
    for by rank are found by these scores, so over the whole photo: until then, the maps of all that compete are kept.

    Args:
        run: The network: (b, h, w, 3) uint8 tiles and a query to scores (b, L) and maps (b, K, h', w').
        picture: (H, W, 3) uint8, as ``tiling`` has it.
        query: B = 1; labels all by number, or all by rank.
        before_each: Called before each forward pass; what it raises ends the work.
    Returns:
        B = 1; maps (1, K, H, W).
    """
    by_rank = bool((query.labels < 0).any())
    asked = query.among if by_rank else query.labels  # (1, K)
    maps = np.zeros((asked.shape[1], *tiling.picture_hw), np.float32)  # (K, H, W)
    scores: NDArray[np.float32] | None = None
    for places in _batches(tiling, asked.shape[1]):
        before_each()
        tiles = np.stack([picture[tiling.slices(place)] for place in places])  # (b, h, w, 3)
        output = run(tiles, _repeat(Query(asked, query.among, query.rivals), len(places)))
        for place, tile_maps in zip(places, output.maps, strict=True):
            _add(maps, tile_maps, tiling, place)
        highest = output.scores.max(axis=0)  # (L,)
        scores = highest if scores is None else np.maximum(scores, highest)
    assert scores is not None
    rows = _rank(query, scores) if by_rank else np.arange(asked.shape[1])  # (K,)
    return GraphOutput(scores[None], maps[None, rows] if by_rank else maps[None], asked[:, rows])


def _batches(tiling: Tiling, labels: int) -> Iterator[list[Corner]]:
    values = labels * tiling.tile_hw[0] * tiling.tile_hw[1]
    size = min(max(VALUES_AT_ONCE // values, 1), TILES_AT_ONCE)
    places = tiling.places()
    return (places[start : start + size] for start in range(0, len(places), size))


def _repeat(query: Query, count: int) -> Query:
    """The same question of each tile."""
    return Query(*(np.repeat(rows, count, axis=0) for rows in (query.labels, query.among, query.rivals)))


def _add(maps: Maps, tile_maps: Maps, tiling: Tiling, place: Corner) -> None:
    """Lay (K, h', w') of one tile on the (K, H, W) of the picture."""
    weights, within = tiling.weights(place), Geometry(tiling.tile_hw, fine=True)
    for label, tile_map in enumerate(tile_maps):
        whole = tile_map if tile_map.shape == tiling.tile_hw else within.restore(tile_map)  # (h, w)
        maps[(label, *tiling.slices(place))] += whole * weights


def _rank(query: Query, scores: NDArray[np.float32]) -> NDArray[np.intp]:
    """Which of those that compete are meant by (1, K) ranks: (K,) places in ``among``."""
    ranking = np.argsort(-scores[query.among[0]], kind="stable")  # (M,)
    ranks = np.minimum(-query.labels[0] - 1, len(ranking) - 1)  # (K,)
    return np.asarray(ranking[ranks], np.intp)
