"""The compiled max-flow against every cut of small grids, and against SciPy's flows on larger ones."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from weakseg import _native

STEPS = ((0, 1), (1, -1), (1, 0), (1, 1))  # right, down left, down, down right

Ints = NDArray[np.int32]


def random_grid(hw: tuple[int, int], seed: int, most: int = 20) -> tuple[Ints, Ints]:
    rng = np.random.default_rng(seed)
    excess = rng.integers(-most, most + 1, hw).astype(np.int32)
    prices = rng.integers(0, most // 2, (4, *hw)).astype(np.int32)
    prices[rng.random(prices.shape) < 0.2] = 0
    return excess, prices


def pairs(prices: Ints) -> list[tuple[tuple[int, int], tuple[int, int], int]]:
    height, width = prices.shape[1:]
    return [
        ((y, x), (y + down, x + right), int(prices[direction, y, x]))
        for direction, (down, right) in enumerate(STEPS)
        for y, x in product(range(height), range(width))
        if y + down < height and 0 <= x + right < width
    ]


def price_of(sides: NDArray[np.uint8], excess: Ints, prices: Ints) -> int:
    """What a cut costs: excess on the sink's side, deficit on the source's, and every pair that it parts."""
    own = excess[(sides == 0) & (excess > 0)].sum() - excess[(sides == 1) & (excess < 0)].sum()
    return int(own) + sum(price for here, there, price in pairs(prices) if sides[here] != sides[there])


def test_two_pixels_by_hand() -> None:
    """An excess of 5 and a deficit of 3, joined by 2: it costs 2 to part them."""
    prices = np.zeros((4, 1, 2), np.int32)
    prices[0, 0, 0] = 2
    sides, cost = _native.cut_grid(np.array([[5, -3]], np.int32), prices)
    assert sides.tolist() == [[1, 0]]
    assert cost == 2
    prices[0, 0, 0] = 4  # now the deficit gives in
    sides, cost = _native.cut_grid(np.array([[5, -3]], np.int32), prices)
    assert sides.tolist() == [[1, 1]]
    assert cost == 3


def test_what_is_undecided_is_on_the_source_s_side() -> None:
    sides, cost = _native.cut_grid(np.zeros((2, 3), np.int32), np.ones((4, 2, 3), np.int32))
    assert sides.all()
    assert cost == 0


@pytest.mark.parametrize("hw", [(1, 1), (1, 7), (7, 1), (2, 5), (3, 4), (4, 3)])
@pytest.mark.parametrize("seed", range(8))
def test_no_cut_is_cheaper(hw: tuple[int, int], seed: int) -> None:
    excess, prices = random_grid(hw, seed)
    sides, cost = _native.cut_grid(excess, prices)
    candidates = (np.array(bits, np.uint8).reshape(hw) for bits in product((0, 1), repeat=hw[0] * hw[1]))  # (H, W)
    assert cost == min(price_of(candidate, excess, prices) for candidate in candidates)
    assert cost == price_of(sides, excess, prices)


@given(st.integers(1, 24), st.integers(1, 17), st.integers(0, 2**32 - 1), st.sampled_from([2, 50, 60_000]))
def test_flow_equals_scipy_s(height: int, width: int, seed: int, most: int) -> None:
    excess, prices = random_grid((height, width), seed, most)
    sides, cost = _native.cut_grid(excess, prices)
    assert cost == flow_by_scipy(excess, prices)
    assert cost == price_of(sides, excess, prices)


def flow_by_scipy(excess: Ints, prices: Ints) -> int:
    count = excess.size
    source, sink = count, count + 1
    numbers = np.arange(count).reshape(excess.shape)  # (H, W)
    edges = [(numbers[here], numbers[there], price) for here, there, price in pairs(prices)]
    edges += [(there, here, price) for here, there, price in edges]
    edges += [(source, node, value) for node, value in enumerate(excess.flat) if value > 0]
    edges += [(node, sink, -value) for node, value in enumerate(excess.flat) if value < 0]
    if not edges:
        return 0
    starts, ends, capacities = zip(*edges, strict=True)
    shape = (count + 2, count + 2)
    graph = csr_array((np.array(capacities, np.int32), (starts, ends)), shape=shape, dtype=np.int32)
    return int(maximum_flow(graph, source, sink).flow_value)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="shapes"):
        _native.cut_grid(np.zeros((2, 3), np.int32), np.zeros((4, 3, 2), np.int32))
