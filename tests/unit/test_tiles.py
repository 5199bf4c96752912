"""Tiles over a picture: where they lie, what they weigh, and that nobody sees them in the result."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.fakes import FakePixelRuntime
from weakseg import tiles
from weakseg.tiles import OVERLAP, Tiling, ramps, run_tiles
from weakseg.types import GraphOutput, Query

PICTURE = np.random.default_rng(0).integers(0, 256, (61, 103, 3), np.uint8)
BOTH = Query(np.array([[1, 0]]), np.array([[1, 0]]), np.zeros((1, 0), np.int64))


def nothing() -> None:
    """Nobody waits."""


def test_places_by_hand() -> None:
    """61 rows in tiles of 20: 15 from one to the next at most, so 41 in three gaps; 103 columns in tiles of 40."""
    tiling = Tiling.over((61, 103), (20, 40))
    assert (tiling.tops, tiling.lefts, tiling.count) == ((0, 14, 27, 41), (0, 21, 42, 63), 16)
    assert tiling.slices((1, 2)) == (slice(14, 34), slice(42, 82))


def test_a_picture_smaller_than_a_tile_is_one_tile() -> None:
    tiling = Tiling.over((16, 103), (20, 40))
    assert (tiling.tile_hw, tiling.tops) == ((16, 40), (0,))
    assert Tiling.over((9, 11), (20, 40)).count == 1


def test_ramps_by_hand() -> None:
    """Two pieces of 4 that share one pixel: there each counts half; elsewhere one counts alone."""
    assert ramps((0, 3), 4).tolist() == [[1, 1, 1, 0.5, 0, 0, 0], [0, 0, 0, 0.5, 1, 1, 1]]
    falling = ramps((0, 12), 16)[0]
    assert falling[11:].tolist() == [1, 0.875, 0.625, 0.375, 0.125, *[0] * 12], "a straight line over the shared four"


@given(st.integers(1, 90), st.integers(1, 90), st.integers(8, 40), st.integers(8, 40))
def test_weights_sum_to_one_everywhere(height: int, width: int, tile_height: int, tile_width: int) -> None:
    tiling = Tiling.over((height, width), (tile_height, tile_width))
    total = np.zeros((height, width))
    for place in tiling.places():
        weights = tiling.weights(place)
        assert weights.shape == tiling.tile_hw
        assert (weights > 0).all()
        total[tiling.slices(place)] += weights
    np.testing.assert_allclose(total, 1, atol=1e-6)


@given(st.integers(8, 400), st.integers(8, 100))
def test_neighbours_share_a_quarter(whole: int, length: int) -> None:
    starts = Tiling.over((whole, 10), (length, 10)).tops
    assert starts[-1] + min(length, whole) == whole
    assert all(after - before <= length * (1 - OVERLAP) + 1 for before, after in itertools.pairwise(starts))


@pytest.mark.parametrize("values_at_once", [1, 2**23])
def test_a_pointwise_network_sees_no_tiles(values_at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "VALUES_AT_ONCE", values_at_once)
    runtime = FakePixelRuntime()
    whole = runtime.run(PICTURE[None], BOTH)
    tiled = run_tiles(runtime.run, PICTURE, BOTH, Tiling.over((61, 103), (20, 40)), nothing)
    np.testing.assert_allclose(tiled.maps, whole.maps, atol=1e-6)
    np.testing.assert_array_equal(tiled.scores, whole.scores)
    np.testing.assert_array_equal(tiled.chosen, whole.chosen)
    size = 1 if values_at_once == 1 else 4
    assert [shape for shape, _ in runtime.calls[1:]] == [(size, 20, 40, 3)] * (16 // size)
    assert all(query.labels.tolist() == [[1, 0]] * size for _, query in runtime.calls[1:])


def test_ranks_are_found_over_the_whole_photo() -> None:
    """The first tile shows a cat alone, the last one a dog that is surer."""
    picture = np.zeros((16, 64, 3), np.uint8)
    picture[:, :8, 0], picture[:, 60:, 1] = 153, 204
    by_rank = Query(np.array([[-1, -2, -3]]), np.array([[0, 1]]), np.zeros((1, 0), np.int64))
    found = run_tiles(FakePixelRuntime().run, picture, by_rank, Tiling.over((16, 64), (16, 24)), nothing)
    assert found.chosen.tolist() == [[1, 0, 0]], "a rank beyond the last means the last"
    np.testing.assert_allclose(found.scores, [[0.6, 0.8]], atol=1e-6)
    assert (found.maps[0, 0, :, 60:].min(), found.maps[0, 1, :, :8].min()) == pytest.approx((0.8, 0.6), abs=1e-6)


def test_maps_coarser_than_their_tile_are_brought_to_it() -> None:
    def halve(images: np.ndarray, query: Query) -> GraphOutput:
        maps = np.full((len(images), 1, images.shape[1] // 2, images.shape[2] // 2), 0.25, np.float32)
        return GraphOutput(np.ones((len(images), 1), np.float32), maps, query.labels)

    one = Query(np.array([[0]]), np.array([[0]]), np.zeros((1, 0), np.int64))
    found = run_tiles(halve, PICTURE, one, Tiling.over((61, 103), (20, 40)), nothing)
    assert found.maps.shape == (1, 1, 61, 103)
    np.testing.assert_allclose(found.maps, 0.25, atol=1e-6)


def test_a_smooth_ramp_instead_of_a_seam() -> None:
    """A network that says 0 in one tile and 1 in the next: no step between two pixels is higher than the ramp's."""
    answers = iter([0.0, 1.0])

    def run(images: np.ndarray, query: Query) -> GraphOutput:
        values = np.array([next(answers) for _ in images], np.float32)
        maps = np.broadcast_to(values[:, None, None, None], (len(images), 1, *images.shape[1:3]))
        return GraphOutput(values[:, None], maps, query.labels)

    one = Query(np.array([[0]]), np.array([[0]]), np.zeros((1, 0), np.int64))
    found = run_tiles(run, PICTURE[:16, :42], one, Tiling.over((16, 42), (16, 24)), nothing)
    assert np.abs(np.diff(found.maps[0, 0])).max() == pytest.approx(1 / 6, abs=1e-5)


def test_what_the_watch_raises_ends_the_work() -> None:
    runtime, looks = FakePixelRuntime(), []

    def watch() -> None:
        looks.append(1)
        if len(looks) == 3:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        run_tiles(runtime.run, PICTURE, BOTH, Tiling.over((61, 103), (20, 40)), watch)
    assert len(runtime.calls) == 2
