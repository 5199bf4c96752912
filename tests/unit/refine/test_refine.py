import numpy as np
import pytest

from tests.helpers.fakes import make_card
from weakseg.card import Settings
from weakseg.options import parse_options
from weakseg.refine.refine import cut_box, grow_labels, refine_maps, shrink_to_side, stretch_in_box
from weakseg.types import Box, Geometry

SMALL = Geometry((4, 6))


def settings_for(**sent: object) -> Settings:
    return make_card().settings(parse_options(sent))


def test_the_higher_map_wins_where_two_masks_overlap() -> None:
    maps = np.zeros((2, 4, 6), np.float32)
    maps[0, :, :4] = 0.6
    maps[1, :, 2:] = 0.8
    maps[1, 0] = 0.5
    refined = refine_maps(
        np.zeros((4, 6, 3), np.uint8),
        maps,
        SMALL,
        settings_for(refine="none", threshold=0.5),
        ("a", "b"),
        (0.5, 0.5),
        box=None,
        context=None,
        side=500,
    )
    assert refined.label_map.tolist() == [[1, 1, 1, 1, 2, 2]] + [[1, 1, 2, 2, 2, 2]] * 3
    assert refined.warnings == ()


def test_a_box_stretches_the_map_inside_and_empties_it_outside() -> None:
    class_map = np.array([[0.1, 0.2, 0.4], [1.0, 0.3, 0.3]], np.float32)
    assert np.allclose(stretch_in_box(class_map, Box(1, 0, 3, 2)), [[0, 0, 1.0], [0, 0.5, 0.5]])
    assert np.allclose(stretch_in_box(class_map, Box(2, 1, 3, 2)), [[0, 0, 0], [0, 0, 1]]), "a constant map"


def test_nothing_outside_the_box_is_object() -> None:
    refined = refine_maps(
        np.zeros((4, 6, 3), np.uint8),
        np.ones((1, 4, 6), np.float32),
        SMALL,
        settings_for(refine="none", threshold=0.5),
        ("dog",),
        (0.5,),
        box=Box(1, 1, 4, 3),
        context=0.5,
        side=500,
    )
    assert refined.label_map.tolist() == [[0] * 6, [0, 1, 1, 1, 0, 0], [0, 1, 1, 1, 0, 0], [0] * 6]


def test_grabcut_works_on_the_box_and_its_context_at_the_sharpest_size() -> None:
    """A small object in a large photo: cut from its surroundings, not from a photo shrunk to a stamp."""
    rgb = np.full((600, 900, 3), 30, np.uint8)
    rgb[307:341, 511:553] = 220
    box = Box(500, 300, 560, 350)
    near = cut_box(rgb, Geometry((600, 900)), box, iterations=1, context=0.3, side=100).label_map
    assert near.sum() == 34 * 42
    assert near[307:341, 511:553].all()
    far = cut_box(rgb, Geometry((600, 900)), box, iterations=1, context=None, side=100).label_map
    assert far.sum() != 34 * 42, "a ninth of the size cannot find this border"


def test_an_empty_map_gives_an_empty_mask() -> None:
    for sent in ({"refine": "none", "threshold": 0.0}, {"refine": "grabcut"}):
        refined = refine_maps(
            np.zeros((4, 6, 3), np.uint8),
            np.zeros((1, 2, 3), np.float32),
            SMALL,
            settings_for(**sent),
            ("dog",),
            (0.5,),
            box=None,
            context=None,
            side=500,
        )
        assert not refined.label_map.any()


def test_a_label_that_the_network_does_not_believe_in_takes_nothing_from_one_that_it_does() -> None:
    maps = np.zeros((2, 4, 6), np.float32)
    maps[0, :, :4] = 0.6
    maps[1, :, 2:] = 0.9
    refined = refine_maps(
        np.zeros((4, 6, 3), np.uint8),
        maps,
        SMALL,
        settings_for(refine="none", threshold=0.5),
        ("sheep", "bottle"),
        (0.9, 0.0),
        box=None,
        context=None,
        side=500,
    )
    assert refined.label_map.tolist() == [[1, 1, 1, 1, 2, 2]] * 4


def test_grabcut_without_background_falls_back_to_the_map() -> None:
    refined = refine_maps(
        np.zeros((4, 6, 3), np.uint8),
        np.ones((1, 4, 6), np.float32),
        SMALL,
        settings_for(grabcut_mode="pf_pb"),
        ("dog",),
        (0.5,),
        box=None,
        context=None,
        side=500,
    )
    assert refined.label_map.all()
    assert "no foreground or no background" in refined.warnings[0]


def test_a_box_that_fills_the_photo_leaves_naked_grabcut_nothing_to_learn() -> None:
    refined = cut_box(np.zeros((4, 6, 3), np.uint8), SMALL, Box(0, 0, 6, 4), iterations=1, context=0.3, side=500)
    assert refined.label_map.all()
    assert "outside the box" in refined.warnings[0]


def test_large_photos_are_cut_small_and_masks_come_back_at_full_size() -> None:
    rgb = np.full((300, 420, 3), 30, np.uint8)
    rgb[90:210, 120:300] = 220
    small, full = (
        cut_box(rgb, Geometry((300, 420)), Box(80, 60, 340, 240), iterations=1, context=None, side=side).label_map
        for side in (140, 500)
    )
    assert small.shape == full.shape == (300, 420)
    assert full.sum() == 120 * 180
    assert abs(int(small.sum()) - 120 * 180) < 0.02 * 120 * 180


@pytest.mark.parametrize(("side", "shape"), [(500, (30, 40, 3)), (40, (30, 40, 3)), (20, (15, 20, 3)), (1, (1, 1, 3))])
def test_shrink_to_side(side: int, shape: tuple[int, ...]) -> None:
    assert shrink_to_side(np.zeros((30, 40, 3), np.uint8), side).shape == shape


def test_grow_labels_keeps_labels_apart() -> None:
    label_map = np.array([[1, 1, 0, 2], [1, 1, 0, 2]], np.uint8)
    grown = grow_labels(label_map, 2, (4, 8))
    assert grown.tolist() == [[1, 1, 1, 1, 0, 0, 2, 2]] * 4
