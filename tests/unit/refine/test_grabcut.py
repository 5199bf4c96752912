import cv2
import numpy as np
import pytest

from weakseg.errors import ShapeMismatchError
from weakseg.refine.grabcut import box_seeds, can_cut, confine_to_box, cut, digitise_map
from weakseg.refine.threshold import threshold_map
from weakseg.types import Box

BGD, FGD, PR_BGD, PR_FGD = cv2.GC_BGD, cv2.GC_FGD, cv2.GC_PR_BGD, cv2.GC_PR_FGD
VALUES = np.array([[0.0, 0.1, 0.29, 0.3, 0.69, 0.7, 1.0]], np.float32)


@pytest.fixture
def scene() -> tuple[np.ndarray, np.ndarray]:
    """A red ellipse on a noisy blue ground, 60 x 90, and its true mask."""
    rng = np.random.default_rng(7)
    truth = np.zeros((60, 90), np.uint8)
    cv2.ellipse(truth, (50, 30), (24, 16), 20, 0, 360, 1, -1)
    rgb = np.where(truth[..., None] == 1, (200, 40, 40), (40, 60, 180)) + rng.normal(0, 12, (60, 90, 3))
    return np.clip(rgb, 0, 255).astype(np.uint8), truth.astype(bool)


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ((0.1, 0.3, 0.7), [BGD, PR_BGD, PR_BGD, PR_FGD, PR_FGD, FGD, FGD]),
        ((0.0, 0.3, 1.0), [PR_BGD, PR_BGD, PR_BGD, PR_FGD, PR_FGD, PR_FGD, PR_FGD]),  # PF PB: nothing is sure
        ((0.0, 0.01, 0.7), [PR_BGD, PR_FGD, PR_FGD, PR_FGD, PR_FGD, FGD, FGD]),  # F PF
        ((0.0, 0.3, 0.31), [PR_BGD, PR_BGD, PR_BGD, PR_FGD, FGD, FGD, FGD]),  # F PB
        ((0.0, 0.0, 0.0), [FGD] * 7),
        ((1.0, 1.0, 1.0), [BGD] * 6 + [PR_FGD]),
    ],
)
def test_levels_by_hand(levels: tuple[float, float, float], expected: list[int]) -> None:
    assert digitise_map(VALUES, levels).tolist() == [expected]


def test_threshold_by_hand() -> None:
    assert threshold_map(VALUES, 0.3).tolist() == [[False, False, False, True, True, True, True]]
    assert threshold_map(VALUES, 0.0).tolist() == [[False] + [True] * 6]
    assert not threshold_map(np.zeros((2, 3), np.float32), 0.0).any()


def test_box_confines_seeds() -> None:
    seeds = np.full((3, 4), FGD, np.uint8)
    confined = confine_to_box(seeds, Box(1, 0, 3, 2))
    assert confined.tolist() == [[BGD, FGD, FGD, BGD], [BGD, FGD, FGD, BGD], [BGD] * 4]
    assert seeds.min() == FGD
    assert box_seeds((2, 3), Box(2, 0, 3, 2)).tolist() == [[BGD, BGD, PR_FGD]] * 2


def test_grabcut_finds_the_ellipse_from_a_shifted_guess(scene: tuple[np.ndarray, np.ndarray]) -> None:
    rgb, truth = scene
    guess = np.roll(truth, (4, -6), (0, 1)).astype(np.float32)
    seeds = digitise_map(guess, (0.0, 0.5, 1.0))
    before, rgb_before = seeds.copy(), rgb.copy()
    mask = cut(rgb, seeds, iterations=2)
    assert (mask & truth).sum() / (mask | truth).sum() > 0.97
    assert np.array_equal(seeds, before)
    assert np.array_equal(rgb, rgb_before)
    assert np.array_equal(mask, cut(rgb, seeds, iterations=2)), "deterministic"


def test_naked_grabcut_finds_the_ellipse_in_its_box(scene: tuple[np.ndarray, np.ndarray]) -> None:
    rgb, truth = scene
    mask = cut(rgb, box_seeds(truth.shape, Box(22, 8, 80, 54)), iterations=1)
    assert (mask & truth).sum() / (mask | truth).sum() > 0.97


def test_sure_seeds_stay(scene: tuple[np.ndarray, np.ndarray]) -> None:
    rgb, truth = scene
    seeds = box_seeds(truth.shape, Box(22, 8, 80, 54))
    seeds[10:12, 24:30] = FGD  # blue ground, said to be object
    seeds[28:32, 48:52] = BGD  # red object, said to be ground
    mask = cut(rgb, seeds, iterations=1)
    assert mask[10:12, 24:30].all()
    assert not mask[28:32, 48:52].any()


@pytest.mark.parametrize(("foreground", "possible"), [(0, False), (4, False), (5, True), (19, True), (20, False)])
def test_opencv_would_refuse_fewer_than_five_pixels_of_a_kind(foreground: int, possible: bool) -> None:
    seeds = np.full(24, PR_BGD, np.uint8)
    seeds[:foreground] = PR_FGD
    assert can_cut(seeds.reshape(4, 6)) is possible  # (4, 6)
    if possible:
        cut(np.zeros((4, 6, 3), np.uint8), seeds.reshape(4, 6), iterations=1)  # does not raise


def test_shapes_must_agree() -> None:
    with pytest.raises(ShapeMismatchError):
        cut(np.zeros((4, 6, 3), np.uint8), np.zeros((6, 4), np.uint8), iterations=1)
