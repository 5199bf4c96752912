import numpy as np
import pytest
from skimage.data import chelsea

from training.zoomout.combine import Cut, Way, combine, label, stretch
from weakseg.card import CrfSettings

SUPERPIXELS = np.array([[0, 0, 1], [2, 2, 1]], np.int32)  # (2, 3)
SCORES = np.array([[-1], [3], [1]], np.float32)  # (S, K): stretched to 0, 1, 0.5


def test_scores_are_stretched_for_each_class() -> None:
    found = stretch(np.array([[-1, 5], [3, 5], [1, 5]], np.float32))
    assert found.tolist() == [[0, 0], [1, 0], [0.5, 0]]


def test_forward_maps_are_the_stretched_scores() -> None:
    found = combine(SCORES, SUPERPIXELS, np.ones((1, 2, 3), np.float32), Way.ZOF)
    assert found.tolist() == [[[0, 0, 1], [0.5, 0.5, 1]]]


def test_a_flat_guided_map_changes_nothing_but_the_scale() -> None:
    guided = np.full((1, 2, 3), 7, np.float32)
    forward = combine(SCORES, SUPERPIXELS, guided, Way.ZOF)
    np.testing.assert_allclose(combine(SCORES, SUPERPIXELS, guided, Way.PRODUCT), forward, atol=1e-6)
    np.testing.assert_allclose(combine(SCORES, SUPERPIXELS, guided, Way.MEAN), (forward + 1) / 2, atol=1e-6)
    np.testing.assert_allclose(combine(SCORES, SUPERPIXELS, guided, Way.GBP), np.ones((1, 2, 3)), atol=1e-6)


@pytest.mark.parametrize("way", Way)
def test_maps_of_a_photo_without_any_signal(way: Way) -> None:
    found = combine(np.zeros((3, 2), np.float32), SUPERPIXELS, np.zeros((2, 4, 4), np.float32), way)
    assert found.shape == (2, 2, 3)
    assert not found.any()


def test_guided_maps_are_smoothed_and_brought_to_the_photo() -> None:
    guided = np.zeros((1, 20, 30), np.float32)
    guided[0, 5, 24] = 4
    superpixels = np.zeros((40, 60), np.int32)
    (found,) = combine(np.zeros((1, 1), np.float32), superpixels, guided, Way.GBP)
    assert found.shape == (40, 60)
    row, column = np.unravel_index(found.argmax(), found.shape)
    assert (row // 2, column // 2) == (5, 24)
    assert found.max() == 1
    assert np.count_nonzero(found > 0.5) > 4, "more than its own cell"


def test_labels_are_the_highest_map_from_the_threshold_on() -> None:
    maps = np.array([[[0.2, 0.5, 0.0]], [[0.1, 0.7, 0.0]]], np.float32)  # (2, 1, 3)
    rgb = np.zeros((1, 3, 3), np.uint8)
    assert label(maps, rgb, Cut(0.2)).tolist() == [[1, 2, 0]]
    assert label(maps, rgb, Cut(0.6)).tolist() == [[0, 2, 0]]
    assert label(maps, rgb, Cut(0.0)).tolist() == [[1, 2, 0]], "a map of zeros claims nothing"


def test_the_crf_gives_labels_at_the_photos_size() -> None:
    rgb = chelsea()[:60, :100]
    maps = np.zeros((2, 60, 100), np.float32)
    maps[0, 10:40, 10:50], maps[1, 30:60, 60:100] = 1, 1
    found = label(maps, rgb, Cut(0.5, CrfSettings(confidence=30)))
    assert found.dtype == np.uint8
    assert found.shape == (60, 100)
    assert set(np.unique(found)) <= {0, 1, 2}
    assert found[20, 30] == 1
    assert found[50, 90] == 2
