"""COCO encodings against hand-worked cases and against other rasterisers."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from pycocotools import mask as coco_mask
from skimage.draw import polygon2mask

from tests.unit.codec.masks import draw_object, noise_masks, object_seeds
from weakseg.codec.coco import area_px, bounding_box, decode_rle, encode_rle, find_polygons

RING_WITH_ISLAND = np.array(
    [
        [1, 1, 1, 1, 1, 0],
        [1, 0, 0, 0, 1, 0],
        [1, 0, 1, 0, 1, 0],
        [1, 0, 0, 0, 1, 0],
        [1, 1, 1, 1, 1, 0],
    ],
    bool,
)


# pycocotools 2.0.11 decodes through NumPy 1's __array__ protocol.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def fill(polygons, shape):
    """Even-odd filling at pixel centres, by scikit-image."""
    filled = np.zeros(shape, bool)
    for polygon in polygons:
        for ring in [polygon["exterior"], *polygon["holes"]]:
            rows_columns = np.array(ring)[:, ::-1] - 0.5
            filled ^= polygon2mask(shape, rows_columns)
    return filled


def iou(one, other):
    return (one & other).sum() / max((one | other).sum(), 1)


def corners(ring):
    return {tuple(point) for point in ring}


def test_rle_by_hand():
    """Column by column, background first: 1 off, 2 on, 1 off, 2 on; COCO writes a count below 16 as chr(48 + count).

    From the fourth count on it writes the difference to the one two places before: 2 - 2 = 0.
    """
    mask = np.array([[0, 0], [1, 1], [1, 1]], bool)
    assert encode_rle(mask) == {"size": [3, 2], "counts": "1210"}


def test_rle_is_ready_for_json():
    rle = encode_rle(draw_object(1))
    assert json.loads(json.dumps(rle)) == rle


@given(noise_masks)
def test_rle_round_trip(mask):
    rle = encode_rle(mask)
    np.testing.assert_array_equal(coco_mask.decode(rle), mask)
    np.testing.assert_array_equal(decode_rle(rle), mask)
    assert coco_mask.area(rle) == area_px(mask) == mask.sum()


@pytest.mark.parametrize("box", [(1, 2, 4, 3), (0, 0, 7, 5), (6, 4, 7, 5)])
def test_rectangle_polygon_box_and_area(box):
    x0, y0, x1, y1 = box
    mask = np.zeros((5, 7), bool)
    mask[y0:y1, x0:x1] = True
    (polygon,) = find_polygons(mask)
    assert corners(polygon["exterior"]) == {(x0, y0), (x1, y0), (x1, y1), (x0, y1)}
    assert len(polygon["exterior"]) == 4
    assert polygon["holes"] == []
    assert bounding_box(mask).as_list() == list(box)
    assert area_px(mask) == (x1 - x0) * (y1 - y0)


def test_box_spans_all_parts():
    mask = np.zeros((5, 9), bool)
    mask[3, 1] = mask[1, 6] = True
    assert bounding_box(mask).as_list() == [1, 1, 7, 4]


def test_hole_and_island_by_hand():
    polygons = find_polygons(RING_WITH_ISLAND)
    outer, island = sorted(polygons, key=lambda polygon: -len(polygon["holes"]))
    assert corners(outer["exterior"]) == {(0, 0), (5, 0), (5, 5), (0, 5)}
    assert [corners(hole) for hole in outer["holes"]] == [{(1, 1), (4, 1), (4, 4), (1, 4)}]
    assert corners(island["exterior"]) == {(2, 2), (3, 2), (3, 3), (2, 3)}
    assert island["holes"] == []


def test_empty_mask():
    mask = np.zeros((3, 5), bool)
    assert find_polygons(mask) == []
    assert bounding_box(mask) is None
    assert area_px(mask) == 0


@given(noise_masks)
def test_polygons_of_small_parts_are_exact(mask):
    polygons = find_polygons(mask)
    rings = [ring for polygon in polygons for ring in [polygon["exterior"], *polygon["holes"]]]
    assert all(len(ring) >= 3 for ring in rings)
    assert bool(polygons) == bool(mask.any())
    np.testing.assert_array_equal(fill(polygons, mask.shape), mask)


@settings(max_examples=25, deadline=None)
@given(object_seeds)
def test_polygons_of_objects_round_trip(seed):
    mask = draw_object(seed)
    polygons = find_polygons(mask)
    assert iou(fill(polygons, mask.shape), mask) >= 0.98
    assert sum(len(polygon["holes"]) for polygon in polygons) >= 1


@pytest.mark.parametrize("seed", range(5))
def test_coco_fills_the_exteriors_alike(seed):
    """pycocotools' own polygon rasteriser, less the holes."""
    mask = draw_object(seed)
    filled = np.zeros(mask.shape, bool)
    for polygon in sorted(find_polygons(mask), key=lambda polygon: -len(polygon["exterior"])):
        for ring in [polygon["exterior"], *polygon["holes"]]:
            rle = coco_mask.frPyObjects([np.ravel(ring).tolist()], *mask.shape)
            filled ^= coco_mask.decode(rle)[..., 0].astype(bool)
    assert iou(filled, mask) >= 0.97


def test_staircases_are_straightened():
    """A disc of radius 50 has 244 corners pixel by pixel."""
    rows, columns = np.mgrid[:120, :140]
    disc = (rows - 60) ** 2 + (columns - 70) ** 2 <= 50**2
    (polygon,) = find_polygons(disc)
    assert 12 <= len(polygon["exterior"]) <= 100
    assert iou(fill([polygon], disc.shape), disc) >= 0.99


def test_inputs_are_left_alone():
    mask = RING_WITH_ISLAND.copy()
    mask.setflags(write=False)
    encode_rle(mask), find_polygons(mask), bounding_box(mask)
    np.testing.assert_array_equal(mask, RING_WITH_ISLAND)
