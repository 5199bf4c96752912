import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.fakes import make_card
from weakseg.card import Preprocessing
from weakseg.preprocess import prepare
from weakseg.types import Box, Geometry

SETTINGS = make_card().preprocessing  # 32 x 48


def test_areas_are_averaged_when_the_photo_shrinks() -> None:
    rgb = np.zeros((64, 96, 3), np.uint8)
    rgb[::2, ::2] = 200  # one pixel in four
    network_input, geometry = prepare(rgb, SETTINGS)
    assert network_input.shape == (32, 48, 3)
    assert np.all(network_input == 50)
    assert geometry == Geometry((64, 96))


def test_box_arithmetic() -> None:
    assert Box(10, 20, 30, 60).grown(0.25, (70, 100)) == Box(5, 10, 35, 70)
    assert Box(0, 0, 100, 70).grown(1.0, (70, 100)) == Box(0, 0, 100, 70)
    assert Box(10, 20, 30, 60).relative_to(Box(5, 10, 35, 70)) == Box(5, 10, 25, 50)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 9), st.integers(1, 9))
def test_restore_equals_opencv(height: int, width: int, rows: int, columns: int) -> None:
    class_map = np.random.default_rng(height).random((rows, columns), np.float32)
    if rows > height or columns > width:
        return  # OpenCV shrinks by other rules
    expected = cv2.resize(class_map, (width, height), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(Geometry((height, width)).restore(class_map), expected, atol=1e-5)


def test_a_part_is_what_it_is_in_the_whole() -> None:
    geometry, part = Geometry((30, 50)), Box(7, 3, 41, 22)
    class_map = np.random.default_rng(0).random((4, 6), np.float32)
    np.testing.assert_allclose(geometry.restore(class_map, part), geometry.restore(class_map)[part.slices], atol=1e-6)
    assert geometry.restore(class_map, part, (5, 9)).shape == (5, 9)


def test_restore_is_linear_between_cell_centres() -> None:
    geometry = Geometry((2, 4))
    restored = geometry.restore(np.array([[0.0, 1.0]], np.float32))
    assert restored.tolist() == [[0, 0.25, 0.75, 1]] * 2  # centres at 1 and 3, pixels at 0.5, 1.5, 2.5, 3.5


@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 50), st.integers(1, 50), st.data())
def test_a_scaled_box_is_never_empty_nor_outside(
    height: int, width: int, to_height: int, to_width: int, data: st.DataObject
) -> None:
    x0, y0 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    x1, y1 = data.draw(st.integers(x0 + 1, width)), data.draw(st.integers(y0 + 1, height))
    scaled = Box(x0, y0, x1, y1).scaled(from_hw=(height, width), to_hw=(to_height, to_width))
    assert 0 <= scaled.x0 < scaled.x1 <= to_width
    assert 0 <= scaled.y0 < scaled.y1 <= to_height


@pytest.mark.parametrize("hw", [(1, 1), (1, 500), (333, 2)])
def test_extreme_photos_have_an_input(hw: tuple[int, int]) -> None:
    settings = Preprocessing(height=32, width=48, mean=(0, 0, 0), std=(1, 1, 1))
    network_input, geometry = prepare(np.full((*hw, 3), 9, np.uint8), settings)
    assert np.all(network_input == 9)
    assert geometry.restore(np.ones((3, 3), np.float32)).shape == hw


@pytest.mark.parametrize(
    ("photo_hw", "max_side", "input_hw"),
    [
        ((64, 96), 48, (32, 48)),
        ((30, 20), 48, (30, 20)),  # never enlarged
        ((333, 500), 320, (213, 320)),
        ((40, 2000), 1024, (20, 1024)),
        ((40, 2000), 512, (16, 512)),  # a strip keeps 16 pixels
        ((2000, 1), 512, (512, 16)),
        ((9, 7), 48, (16, 16)),
    ],
)
def test_proportions_are_kept_within_a_long_side(
    photo_hw: tuple[int, int], max_side: int, input_hw: tuple[int, int]
) -> None:
    network_input, geometry = prepare(np.full((*photo_hw, 3), 9, np.uint8), SETTINGS, max_side)
    assert network_input.shape == (*input_hw, 3)
    assert np.all(network_input == 9)
    assert geometry == Geometry(photo_hw, fine=True)


@pytest.mark.parametrize(
    ("photo_hw", "box"),
    [
        ((333, 501), Box(101, 57, 300, 211)),
        ((75, 113), Box(20, 11, 71, 60)),  # not shrunk
        ((40, 2000), Box(313, 9, 1507, 29)),
        ((1999, 41), Box(11, 501, 33, 1400)),
        ((61, 1999), Box(700, 20, 1300, 41)),
    ],
)
@pytest.mark.parametrize("max_side", [320, 512, 1024])
def test_a_border_comes_back_where_it_is(photo_hw: tuple[int, int], box: Box, max_side: int) -> None:
    """A network that gives back its own input: half-way between dark and bright lies within a pixel of the border, or
    within half a pixel of the network's."""
    rgb = np.zeros((*photo_hw, 3), np.uint8)
    rgb[box.slices] = 255
    network_input, geometry = prepare(rgb, SETTINGS, max_side)
    mask = geometry.restore(network_input[..., 0].astype(np.float32) / 255) >= 0.5
    middle_row, middle_column = mask[(box.y0 + box.y1) // 2], mask[:, (box.x0 + box.x1) // 2]
    found = [
        int(edge) for line in (middle_row, middle_column) for edge in np.flatnonzero(np.diff(line.astype(int))) + 1
    ]
    reach = [max(px / cells / 2, 1) for px, cells in zip(photo_hw[::-1], network_input.shape[1::-1], strict=True)]
    for edge, true, most in zip(found, (box.x0, box.x1, box.y0, box.y1), np.repeat(reach, 2), strict=True):
        assert abs(edge - true) <= most
