import numpy as np
import pytest

from weakseg.refine.gaussian import sigmas_in_cells, smooth_map


def blur_exactly(class_map: np.ndarray, sigma_y: float, sigma_x: float) -> np.ndarray:
    """Sums in float64 over the map mirrored to three times its size, border cells doubled."""
    height, width = class_map.shape
    rows = np.exp(-((np.arange(3 * height)[None] - height - np.arange(height)[:, None]) ** 2) / (2 * sigma_y**2))
    columns = np.exp(-((np.arange(3 * width)[None] - width - np.arange(width)[:, None]) ** 2) / (2 * sigma_x**2))
    mirrored = np.pad(class_map.astype(float), ((height, height), (width, width)), "symmetric")
    return (rows / rows.sum(1, keepdims=True)) @ mirrored @ (columns / columns.sum(1, keepdims=True)).T


@pytest.mark.parametrize(
    ("photo_hw", "sigmas"),
    [
        ((400, 800), (0.02 * 800 * 20 / 400, 0.02 * 800 * 30 / 800)),  # 16 px are 0.8 rows of 20 px, 0.6 columns
        ((800, 400), (0.4, 1.2)),
        ((10, 15), (0.6, 0.6)),
    ],
)
def test_the_same_width_in_the_photo_on_both_axes(photo_hw: tuple[int, int], sigmas: tuple[float, float]) -> None:
    class_map = np.random.default_rng(3).random((20, 30)).astype(np.float32)
    before = class_map.copy()
    expected = blur_exactly(class_map, *sigmas)
    assert np.allclose(smooth_map(class_map, 0.02, photo_hw), expected / expected.max() * class_map.max(), atol=2e-4)
    assert np.array_equal(class_map, before)


def test_a_sigma_far_below_a_cell_changes_nothing() -> None:
    class_map = np.random.default_rng(3).random((14, 20)).astype(np.float32)
    assert np.array_equal(smooth_map(class_map, 0.005, (375, 500)), class_map)  # 2.5 px, a tenth of a cell


@pytest.mark.parametrize("highest", [1.0, 0.3])
def test_the_maximum_stays(highest: float) -> None:
    class_map = np.zeros((14, 20), np.float32)
    class_map[3, 15] = highest
    smoothed = smooth_map(class_map, 0.1, (375, 500))
    assert smoothed.max() == np.float32(highest)
    assert np.unravel_index(smoothed.argmax(), smoothed.shape) == (3, 15)
    assert smoothed[4, 15] > 0.5 * highest


def test_an_object_at_the_border_does_not_fade_and_flat_maps_stay() -> None:
    half = np.zeros((6, 9), np.float32)
    half[:, :5] = 1
    assert np.allclose(smooth_map(half, 0.05, (60, 90))[:, 0], 1, atol=1e-4)
    for value in (0.0, 0.4, 1.0):
        flat = np.full((1, 3), value, np.float32)
        assert np.allclose(smooth_map(flat, 0.2, (1, 900)), flat)


@pytest.mark.parametrize(
    ("photo_hw", "expected"),
    [
        ((400, 800), (8.0, 6.0)),  # 160 px: 8 rows of 20 px, 6 columns
        ((1, 3000), (20, 6.0)),  # 600 px would be 12000 rows
        ((3000, 1), (4.0, 30)),
    ],
)
def test_no_wider_than_the_map(photo_hw: tuple[int, int], expected: tuple[float, float]) -> None:
    assert sigmas_in_cells(0.2, photo_hw, (20, 30)) == pytest.approx(expected)


@pytest.mark.parametrize(("photo_hw", "axis"), [((1, 3000), 0), ((3000, 1), 1)])
def test_a_map_of_a_line_is_flat_across_it(photo_hw: tuple[int, int], axis: int) -> None:
    class_map = np.random.default_rng(3).random((20, 30)).astype(np.float32)
    smoothed = smooth_map(class_map, 0.04, photo_hw)
    assert np.ptp(smoothed, axis).max() < 0.02
    assert smoothed.max() == class_map.max()
