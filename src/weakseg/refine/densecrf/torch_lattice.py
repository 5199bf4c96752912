"""The permutohedral lattice with PyTorch operators: sums over all pixels that are near in place and colour.

Adams, Baek & Davis (Eurographics 2010), in five dimensions, as the CRF's authors use it: blur 1/2, 1, 1/2 along six
axes, vertices that no pixel touches are left out. Differs in how the lattice is written down, not in what it is:

- Places are counted along five of the six blur axes. There the simplices are those of Freudenthal's triangulation: a
  pixel's vertices are its place rounded down, and then one step along each axis, the largest fraction first. A vertex
  is one whole number, and its neighbours differ from it by constants.
- Vertices are found by sorting, not in a hash table, and pixels are added up in sorted order in fixed point: the same
  bytes each time, on any device, in any batch, which atomic additions of floats would not give.
- With ``capacity`` the host never waits for the device: all shapes are known before. What does not fit is told by
  ``Lattice.fits``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

AXES = 5  # column, row, red, green, blue
CORNERS = AXES + 1  # of a simplex; also the number of blur axes

_ALPHA = 1 / (1 + 2.0**-AXES)  # of the blur, so that a kernel is 1 at distance 0
_SPREADS = [math.sqrt(2 / 3 / (axis * (axis + 1))) for axis in range(1, CORNERS)]  # the blur is one sigma wide
_EXCHANGES = [(0, 3), (1, 4), (0, 2), (1, 3), (0, 1), (2, 4), (1, 2), (3, 4), (2, 3)]  # sorts five
_FRACTION_BITS = 24
_FIXED_POINT = 2.0**36  # a vertex may hold 2^27 pixels
_LEAST_SUM = 1e-20  # of weights, as in the authors' code


@dataclass(frozen=True, slots=True)
class KeySpace:
    """How five places along the axes and a photo's number become one whole number.

    Attributes:
        sizes: Places on each axis, a free one at both ends included, so that neighbours do not wrap around.
    """

    sizes: tuple[int, ...]  # (5,)

    @classmethod
    def spanning(cls, widths: Sequence[float]) -> KeySpace:
        """Room for features from 0 to ``widths`` (5,)."""
        sizes, before = [], 0.0
        for number, (spread, width) in enumerate(zip(_SPREADS, widths, strict=True), start=1):
            sizes.append(math.floor(before + (number + 1) * spread * width) + 5)
            before += spread * width
        return cls(tuple(sizes))

    def joined(self, other: KeySpace) -> KeySpace:
        """Room for both."""
        return KeySpace(tuple(map(max, self.sizes, other.sizes)))

    @property
    def cells(self) -> int:
        """Keys of one photo."""
        return math.prod(self.sizes)

    @property
    def strides(self) -> list[int]:
        """(5,): what one step along each axis adds to a key. The sixth blur axis goes along all of them at once."""
        return [math.prod(self.sizes[axis + 1 :]) for axis in range(AXES)]

    def holds(self, photos: int) -> bool:
        return 2 * self.cells * photos < 2**63

    def dtype(self, photos: int) -> torch.dtype:
        return torch.int32 if 2 * self.cells * photos < 2**31 else torch.int64


EMPTY = KeySpace((0,) * AXES)


def locate(features: Sequence[Tensor], photo: Tensor, space: KeySpace, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The simplex of each pixel, and where the pixel lies in it.

    Args:
        features: Five tensors that broadcast to (*), float32, at least 0: place and colour, each divided by its sigma.
        photo: Number of each pixel's photo, broadcasts to (*), of ``dtype``.
    Returns:
        (6, P) keys of its corners and (6, P) float32 barycentric weights, which sum to 1; P pixels in (*).
    """
    strides = space.strides
    key, before, codes = photo * space.cells, torch.zeros_like(features[0]), []
    for axis, (spread, feature) in enumerate(zip(_SPREADS, features, strict=True)):
        place = before + feature * ((axis + 2) * spread)
        before = before + feature * spread
        floor = place.floor()
        key = key + (floor.to(dtype) + 1) * strides[axis]
        codes.append(((place - floor) * 2**_FRACTION_BITS).to(torch.int32) * 8 + axis)  # sorts as the fraction does
    sorted_codes = _sort_descending(codes)  # (5, P)
    steps = constant(strides, dtype, key.device).index_select(0, (sorted_codes & 7).flatten())
    keys = torch.cat([key.flatten()[None], steps.view(AXES, -1)])  # (6, P)
    fractions = (sorted_codes >> 3).to(torch.float32) * 2.0**-_FRACTION_BITS  # (5, P)
    border = fractions.new_zeros(1, fractions.shape[1])
    return keys.cumsum(0, dtype=dtype), torch.cat([border + 1, fractions]) - torch.cat([fractions, border])


def _sort_descending(values: list[Tensor]) -> Tensor:
    """Five tensors to one (5, P), the largest first: a sorting network, faster than `torch.sort` on so few."""
    values = list(torch.broadcast_tensors(*values))  # type: ignore[no-untyped-call]
    for high, low in _EXCHANGES:
        pair = values[high], values[low]
        values[high], values[low] = torch.maximum(*pair), torch.minimum(*pair)
    return torch.stack([value.flatten() for value in values])  # (5, P)


def constant(values: Sequence[float], dtype: torch.dtype, device: torch.device) -> Tensor:
    """A small tensor, written by the device itself: a copy from the host would have to wait for it."""
    return torch.stack([torch.full((), value, dtype=dtype, device=device) for value in values])


@dataclass(frozen=True, slots=True)
class Lattice:
    """The vertices that P pixels touch, and how values go from pixels to vertices and back.

    V vertices have room; the value after the last is 0, that of the neighbours that are not there.
    """

    keys: Tensor  # (V,) ascending; free room holds a key that is none
    corners: Tensor  # (6 P,) int32: vertices of each pixel, V where there was no room
    weights: Tensor  # (6, P) float32
    pixels: Tensor  # (6 P,) int32: pixels in the order of their vertices
    shares: Tensor  # (6 P,) float32: weight x norm of each of them, in fixed point
    lasts: Tensor  # (V,): each vertex's last place in that order
    neighbours: Tensor  # (6, 2 V) int32: along each axis, forward of all, then backward of all
    mass: Tensor  # (1, V + 1) float32: the blurred number of pixels
    norm: Tensor  # (P,) float32: 1 / sqrt(sum of the pixel's weights)
    fits: Tensor  # () bool: there was room for all vertices

    @classmethod
    def build(cls, keys: Tensor, weights: Tensor, space: KeySpace, photos: int, capacity: int | None) -> Lattice:
        """From what `locate` returns.

        Args:
            keys, weights: (6, P).
            capacity: Room for so many vertices; None: for those that there are, which the host has to wait for.
        """
        sorted_keys, order = keys.flatten().sort()  # (6 P,)
        begins = torch.cat([sorted_keys.new_ones(1, dtype=torch.bool), sorted_keys[1:] != sorted_keys[:-1]])
        number = begins.cumsum(0, dtype=torch.int32) - 1  # (6 P,): of each vertex, ascending
        room = int(number[-1]) + 1 if capacity is None else min(capacity, keys.numel())
        each = torch.arange(room, dtype=torch.int32, device=keys.device)
        ends = torch.searchsorted(number, each, right=True)  # (V,)
        starts = torch.cat([ends.new_zeros(1), ends[:-1]]).clamp(max=keys.numel() - 1)
        vertex_keys = torch.where(each <= number[-1], sorted_keys.index_select(0, starts), space.cells * photos)  # (V,)
        bare = cls(
            keys=vertex_keys,
            corners=torch.empty_like(number).scatter_(0, order, number.clamp(max=room)),
            weights=weights,
            pixels=(order % keys.shape[1]).to(torch.int32),
            shares=weights.flatten().index_select(0, order) * _FIXED_POINT,
            lasts=ends - 1,
            neighbours=_find_neighbours(vertex_keys, space.strides),
            mass=weights.new_empty(0),
            norm=weights.new_empty(0),
            fits=number[-1] < room,
        )
        return bare._normalised()

    def _normalised(self) -> Lattice:
        ones = self.weights.new_ones(1, self.weights.shape[1])  # (1, P)
        mass = self.blur(self.splat(ones))
        norm = _norm_of(_gather(mass[0], self.corners, self.weights))
        shares = self.shares * norm.index_select(0, self.pixels)
        return replace(self, mass=mass, norm=norm, shares=shares)

    def splat(self, values: Tensor) -> Tensor:
        """(C, P) to (C, V + 1): sums over each vertex's pixels of value x weight x norm."""
        return torch.stack([self._splat_one(channel) for channel in values])

    def _splat_one(self, channel: Tensor) -> Tensor:
        parts = channel.index_select(0, self.pixels) * self.shares  # (6 P,)
        sums = parts.to(torch.int64).cumsum(0).index_select(0, self.lasts)  # (V,): exact, but for multiples of 2^64
        own = torch.cat([sums[:1], sums[1:] - sums[:-1], sums.new_zeros(1)])
        return own.to(torch.float32) / _FIXED_POINT  # (V + 1,)

    def blur(self, vertices: Tensor) -> Tensor:
        """(C, V + 1), changed in place: 1/2, 1, 1/2 along each axis in turn."""
        room = len(self.keys)
        for both in self.neighbours:
            found = vertices.index_select(1, both)  # (C, 2 V)
            vertices[:, :room].add_(found[:, :room] + found[:, room:], alpha=0.5)
        return vertices

    def slice(self, vertices: Tensor) -> Tensor:
        """(C, V + 1) of `blur` to (C, P): what arrives at each pixel, normalised."""
        scale = self.norm * _ALPHA
        return torch.stack([_gather(channel, self.corners, self.weights) * scale for channel in vertices])

    def slice_elsewhere(self, vertices: Tensor, keys: Tensor, weights: Tensor) -> Tensor:
        """(C, V + 1) of `blur` to (C, Q): at pixels that were not there when the lattice was built.

        Args:
            keys, weights: (6, Q) of `locate`.
        """
        corners = _find(self.keys, keys.flatten())  # (6 Q,)
        scale = _norm_of(_gather(self.mass[0], corners, weights)) * _ALPHA
        return torch.stack([_gather(channel, corners, weights) * scale for channel in vertices])


def _gather(channel: Tensor, corners: Tensor, weights: Tensor) -> Tensor:
    """(V + 1,) to (P,): the mean of each pixel's corners."""
    return (channel.index_select(0, corners).view(weights.shape) * weights).sum(0)


def _norm_of(mass: Tensor) -> Tensor:
    return (mass * _ALPHA + _LEAST_SUM).rsqrt()


def _find(keys: Tensor, wanted: Tensor) -> Tensor:
    """Places of ``wanted`` in ascending ``keys`` (V,), int32; V for those that are not there."""
    room = len(keys)
    place = torch.searchsorted(keys, wanted)
    found = keys.index_select(0, place.clamp(max=room - 1)) == wanted
    return torch.where(found, place, room).to(torch.int32)


def _find_neighbours(keys: Tensor, strides: list[int]) -> Tensor:
    """(6, 2 V): the authors' order of axes, all at once before each. Who is backward follows from who is forward."""
    room = len(keys)
    each = torch.arange(room + 1, dtype=torch.int32, device=keys.device)
    rows = []
    for step in [sum(strides), *strides]:
        forward = _find(keys, keys + step)  # (V,)
        backward = torch.full_like(each, room).scatter_(0, forward.to(torch.int64), each[:room])[:room]
        rows.append(torch.cat([forward, backward]))
    return torch.stack(rows)
