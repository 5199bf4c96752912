"""The guided filter against the papers' equations, window by window."""

import numpy as np
import pytest
import skimage.data
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from weakseg.errors import ShapeMismatchError
from weakseg.refine.guided import filter_map

Floats = NDArray[np.float64]


def filter_slowly(class_map: Floats, rgb: NDArray[np.uint8], radius_px: int, eps: float) -> Floats:
    """He, Sun & Tang 2013, equations (19) to (21): one linear regression per window, then the mean of all lines."""
    height, width = class_map.shape
    guide = rgb / 255.0

    def window(y: int, x: int) -> tuple[slice, slice]:
        return (slice(max(y - radius_px, 0), y + radius_px + 1), slice(max(x - radius_px, 0), x + radius_px + 1))

    slopes, offsets = np.zeros((height, width, 3)), np.zeros((height, width))
    for y, x in np.ndindex(height, width):
        colours, values = guide[window(y, x)].reshape(-1, 3), class_map[window(y, x)].ravel()  # (N, 3), (N,)
        covariance = np.cov(colours.T, bias=True) + eps * np.eye(3)
        shared = (colours * values[:, None]).mean(0) - colours.mean(0) * values.mean()
        slopes[y, x] = np.linalg.solve(covariance, shared)
        offsets[y, x] = values.mean() - slopes[y, x] @ colours.mean(0)
    filtered = np.zeros((height, width))
    for y, x in np.ndindex(height, width):
        slope = slopes[window(y, x)].reshape(-1, 3).mean(0)  # (3,)
        filtered[y, x] = slope @ guide[y, x] + offsets[window(y, x)].mean()
    return filtered


@pytest.mark.parametrize("radius_px", [1, 2, 7])
@pytest.mark.parametrize("eps", [1e-4, 1e-2])
def test_by_the_equations(radius_px: int, eps: float) -> None:
    """Up to a radius of 7 nothing is shrunk."""
    rng = np.random.default_rng(5)
    rgb = skimage.data.chelsea()[40:63, 100:131]  # (23, 31, 3)
    class_map = rng.random(rgb.shape[:2], np.float32)
    expected = np.clip(filter_slowly(class_map.astype(float), rgb, radius_px, eps), 0, 1)
    found = filter_map(class_map, rgb, radius=radius_px / 31, eps=eps)
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_the_fast_form_is_close_to_the_slow_one() -> None:
    rgb = skimage.data.chelsea()[:120:2, 60:260:2]  # (60, 100, 3)
    class_map = np.zeros((60, 100), np.float32)
    class_map[20:50, 30:80] = 1
    slow = np.clip(filter_slowly(class_map.astype(float), rgb, 8, 0.01), 0, 1)
    assert np.abs(filter_map(class_map, rgb, radius=0.08, eps=0.01) - slow).mean() < 0.01


def test_an_edge_of_the_photo_draws_the_map_to_it() -> None:
    rgb = np.zeros((40, 60, 3), np.uint8)
    rgb[:, 30:] = 200
    class_map = np.broadcast_to(np.linspace(0, 1, 60, dtype=np.float32), (40, 60)).copy()
    filtered = filter_map(class_map, rgb, radius=0.2, eps=1e-4)
    steps = np.abs(np.diff(filtered, axis=1))
    assert (steps[:, 29] > 5 * steps[:, :28].max()).all(), "the one large step lies on the photo's edge"


def test_no_edges_no_structure() -> None:
    """In a photo of one colour the filter is a mean of means."""
    class_map = np.full((9, 14), 0.25, np.float32)
    np.testing.assert_allclose(
        filter_map(class_map, np.full((9, 14, 3), 7, np.uint8), radius=0.2, eps=1e-3), 0.25, atol=1e-6
    )


@given(st.integers(1, 40), st.integers(1, 60), st.floats(0, 0.5), st.floats(1e-6, 1), st.integers(0, 2**32 - 1))
def test_any_size(height: int, width: int, radius: float, eps: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rgb = rng.integers(0, 256, (height, width, 3), np.uint8)
    class_map = rng.random((height, width), np.float32)
    before = rgb.copy(), class_map.copy()
    filtered = filter_map(class_map, rgb, radius=radius, eps=eps)
    assert filtered.shape == (height, width)
    assert filtered.dtype == np.float32
    assert filtered.min() >= 0
    assert filtered.max() <= 1
    assert np.array_equal(rgb, before[0])
    assert np.array_equal(class_map, before[1])
    assert np.array_equal(filtered, filter_map(class_map, rgb, radius=radius, eps=eps)), "deterministic"


def test_a_radius_below_a_pixel_changes_nothing() -> None:
    class_map = np.random.default_rng(1).random((5, 8), np.float32)
    assert np.array_equal(filter_map(class_map, np.zeros((5, 8, 3), np.uint8), radius=0.01, eps=1e-3), class_map)


def test_shapes_must_agree() -> None:
    with pytest.raises(ShapeMismatchError):
        filter_map(np.zeros((4, 6), np.float32), np.zeros((6, 4, 3), np.uint8), radius=0.1, eps=1e-3)
