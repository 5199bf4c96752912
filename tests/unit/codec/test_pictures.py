"""PNG answers, read back by the other of the two libraries."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from hypothesis import given
from PIL import Image

from tests.unit.codec.masks import label_maps
from tests.unit.codec.samples import photo
from weakseg.codec.pictures import encode_cutout, encode_heatmap, encode_mask, encode_overlay
from weakseg.errors import ShapeMismatchError
from weakseg.types import Segment
from weakseg.voc import palette

CAT = Segment("cat", 8, 0.93, 1)


def read(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        return np.array(image)


def rectangle(value: int = 1) -> np.ndarray:
    """(40, 60) label map: rows 10 to 29, columns 20 to 49."""
    label_map = np.zeros((40, 60), np.uint8)
    label_map[10:30, 20:50] = value
    return label_map


@given(label_maps)
def test_mask_round_trip(label_map):
    with Image.open(io.BytesIO(encode_mask(label_map))) as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.array(image), label_map)
        assert image.getpalette() == palette().ravel().tolist()


def test_mask_colours_by_hand():
    """VOC: 1 is dark red, 2 dark green, 15 the pink of a person; OpenCV reads the palette as colours."""
    data = encode_mask(np.array([[0, 1, 2], [15, 255, 0]], np.uint8))
    rgb = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert rgb.tolist() == [
        [[0, 0, 0], [128, 0, 0], [0, 128, 0]],
        [[192, 128, 128], [224, 224, 192], [0, 0, 0]],
    ]


def test_mask_has_eight_bits_even_for_few_labels():
    assert encode_mask(np.zeros((3, 5), np.uint8))[24] == 8  # the header's bit depth


def test_cutout_by_hand():
    rgb = np.array([[[1, 2, 3], [4, 5, 6], [7, 8, 9]]], np.uint8)
    rgba = read(encode_cutout(rgb, np.array([[0, 1, 7]], np.uint8)))
    assert rgba.tolist() == [[[0, 0, 0, 0], [4, 5, 6, 255], [7, 8, 9, 255]]]


def test_cutout_keeps_the_object_and_erases_the_rest():
    rgba = read(encode_cutout(photo(), rectangle()))
    inside = rectangle() > 0
    np.testing.assert_array_equal(rgba[inside][:, :3], photo()[inside])
    np.testing.assert_array_equal(rgba[..., 3], inside * 255)
    assert not rgba[~inside].any()


def test_overlay_by_hand():
    """A grey photo of 100: dimmed to 60 outside, half way to (0, 128, 0) inside; contour 2 px, white line 1 px."""
    rgb = np.full((40, 60, 3), 100, np.uint8)
    row = read(encode_overlay(rgb, rectangle(2), []))[20].tolist()
    dimmed, line, green, tinted = [75, 75, 75], [255, 255, 255], [0, 128, 0], [50, 114, 50]
    assert row == 19 * [dimmed] + [line] + 2 * [green] + 26 * [tinted] + 2 * [green] + [line] + 9 * [dimmed]


def test_overlay_draws_no_contour_along_the_edge_of_the_photo():
    rgb = np.full((6, 9, 3), 100, np.uint8)
    picture = read(encode_overlay(rgb, np.full((6, 9), 2, np.uint8), []))
    np.testing.assert_array_equal(picture, np.broadcast_to(np.uint8([50, 114, 50]), (6, 9, 3)))


def test_overlay_outlines_neighbours_against_each_other():
    label_map = np.full((6, 20), 1, np.uint8)
    label_map[:, 10:] = 2
    row = read(encode_overlay(np.full((6, 20, 3), 100, np.uint8), label_map, []))[3].tolist()
    assert row[8:12] == 2 * [[128, 0, 0]] + 2 * [[0, 128, 0]]


def test_overlay_names_the_segment_above_it():
    rgb, label_map = np.full((100, 150, 3), 100, np.uint8), np.zeros((100, 150), np.uint8)
    label_map[40:90, 50:110] = 1
    named = read(encode_overlay(rgb, label_map, [CAT]))
    bare = read(encode_overlay(rgb, label_map, []))
    changed = (named != bare).any(axis=2)
    assert changed[20:40].any()
    assert not changed[40:].any()
    assert (named[changed] == [128, 0, 0]).all(axis=1).mean() > 0.3  # the plate has the segment's colour


@pytest.mark.parametrize(
    "segment",
    [
        Segment("dog", 12, 0.5, 9),
        Segment("object", -1, None, 1),
        Segment("a name wider than the photo", 1, 0.1, 1),
    ],
    ids=["without pixels", "without score", "long name"],
)
def test_overlay_takes_any_segment(segment):
    label_map = np.array([[1, 1, 0], [0, 0, 0]], np.uint8)
    assert read(encode_overlay(np.zeros((2, 3, 3), np.uint8), label_map, [segment])).shape == (2, 3, 3)


def test_heatmap_by_hand():
    """Inferno runs from (0, 0, 3) to (252, 255, 164): 55 % of it over 45 % of the grey photo; the hottest counts."""
    rgb = np.full((1, 2, 3), 100, np.uint8)
    maps = np.array([[[0, 1]], [[0, 0.5]]], np.float32)  # (2, 1, 2)
    assert read(encode_heatmap(rgb, maps)).tolist() == [[[45, 45, 47], [184, 185, 135]]]


def test_heatmap_without_maps_is_cold():
    rgb = np.full((2, 3, 3), 100, np.uint8)
    cold = encode_heatmap(rgb, np.zeros((1, 2, 3), np.float32))
    assert encode_heatmap(rgb, np.zeros((0, 2, 3), np.float32)) == cold


def test_heatmap_gets_lighter_with_heat():
    ramp = np.linspace(0, 1, 60, dtype=np.float32)[None, None].repeat(40, axis=1)  # (1, 40, 60)
    picture = read(encode_heatmap(np.zeros((40, 60, 3), np.uint8), ramp))
    luma = picture[0] @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luma) > 0).all()


@pytest.mark.parametrize("encode", [encode_cutout, lambda rgb, labels: encode_overlay(rgb, labels, [CAT])])
def test_shapes_must_agree(encode):
    with pytest.raises(ShapeMismatchError, match=r"\(40, 60\).*\(60, 40\)"):
        encode(photo(), rectangle().T)


def test_heatmap_shapes_must_agree():
    with pytest.raises(ShapeMismatchError):
        encode_heatmap(photo(), np.zeros((2, 60, 40), np.float32))


def test_inputs_are_left_alone():
    rgb, label_map, maps = photo(), rectangle(), np.zeros((1, 40, 60), np.float32)
    for array in (rgb, label_map, maps):
        array.setflags(write=False)
    encode_mask(label_map), encode_cutout(rgb, label_map), encode_overlay(rgb, label_map, [CAT])
    encode_heatmap(rgb, maps)
    np.testing.assert_array_equal(rgb, photo())
    np.testing.assert_array_equal(label_map, rectangle())
