"""Maps with many cells at another size, against OpenCV and against the matrices of few cells."""

import cv2
import numpy as np
import pytest

from weakseg.sampling import resample
from weakseg.types import Box, Geometry


@pytest.mark.parametrize("hw", [(31, 97), (40, 50), (1, 100)])
def test_growing_is_linear_as_in_opencv(hw: tuple[int, int]) -> None:
    values = np.random.default_rng(0).random((1 if hw[0] == 1 else 23, 41), np.float32)
    expected = cv2.resize(values, hw[::-1], interpolation=cv2.INTER_LINEAR)
    found = resample(values, (0, values.shape[0]), (0, values.shape[1]), hw)
    np.testing.assert_allclose(found, expected.reshape(hw), atol=1e-5)
    assert found.flags.c_contiguous


@pytest.mark.parametrize("hw", [(5, 7), (11, 40), (22, 3)])
def test_shrinking_averages_areas_as_in_opencv(hw: tuple[int, int]) -> None:
    values = np.random.default_rng(1).random((23, 41), np.float32)
    expected = cv2.resize(values, hw[::-1], interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(resample(values, (0, 23), (0, 41), hw), expected, atol=1e-5)


@pytest.mark.parametrize("hw", [(31, 97), (11, 17), (60, 20), (9, 90), (23, 41)])
def test_a_whole_map_and_all_of_it_as_a_part_are_the_same(hw: tuple[int, int]) -> None:
    """Only a whole map goes through OpenCV."""
    values, nearly = np.random.default_rng(3).random((23, 41), np.float32), 1e-9
    by_cells = resample(values, (nearly, 23 - nearly), (nearly, 41 - nearly), hw)
    np.testing.assert_allclose(resample(values, (0, 23), (0, 41), hw), by_cells, atol=1e-5)


def test_averages_by_hand() -> None:
    """Two thirds of a cell less than two: 1.5 cells each."""
    values = np.array([[3.0, 6.0, 9.0]], np.float32)
    assert resample(values, (0, 1), (0, 3), (1, 2)).tolist() == [[4, 8]]
    assert resample(values, (0, 1), (0.5, 2.5), (1, 1)).tolist() == [[6]]


def test_a_fine_geometry_restores_parts_as_a_coarse_one_does() -> None:
    class_map, part = np.random.default_rng(2).random((13, 17), np.float32), Box(7, 3, 41, 22)
    fine, coarse = Geometry((30, 50), fine=True), Geometry((30, 50))
    np.testing.assert_allclose(fine.restore(class_map), coarse.restore(class_map), atol=1e-5)
    np.testing.assert_allclose(fine.restore(class_map, part), coarse.restore(class_map, part), atol=1e-5)


def test_a_fine_geometry_averages_what_it_shrinks() -> None:
    class_map = np.zeros((40, 60), np.float32)
    class_map[::4] = 1  # a coarse geometry would look at every fourth row only
    assert np.allclose(Geometry((80, 120), fine=True).restore(class_map, hw=(10, 15)), 0.25)
