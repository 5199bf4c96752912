import numpy as np
import pytest

from tests.helpers.fakes import make_card
from weakseg.card import Settings
from weakseg.options import parse_options
from weakseg.refine.refine import cut_box, grow_labels, refine_maps, scale_in_box, shrink_to_side
from weakseg.types import Box, Geometry

WHOLE = Geometry((4, 6), Box(0, 0, 6, 4))


def settings_for(**sent: object) -> Settings:
    return make_card().settings(parse_options(sent))


def test_the_higher_map_wins_where_two_masks_overlap() -> None:
    maps = np.zeros((2, 4, 6), np.float32)
    maps[0, :, :4] = 0.6
    maps[1, :, 2:] = 0.8
    maps[1, 0] = 0.5
    refined = refine_maps(
        np.zeros((4, 6, 3), np.uint8), maps, WHOLE, settings_for(refine="none", threshold=0.5),
        box=None, side=500, names=("a", "b"),
    )  # fmt: skip
    assert refined.label_map.tolist() == [[1, 1, 1, 1, 2, 2]] + [[1, 1, 2, 2, 2, 2]] * 3
    assert refined.warnings == ()


def test_a_box_cuts_the_map_and_rescales_it() -> None:
    class_map = np.array([[0.1, 0.2, 0.4], [1.0, 0.1, 0.2]], np.float32)
    scaled = scale_in_box(class_map, Box(1, 0, 3, 2))
    assert np.allclose(scaled, [[0, 0.5, 1.0], [0, 0.25, 0.5]])
    assert scale_in_box(class_map, None) is class_map


def test_an_empty_map_gives_an_empty_mask_and_says_so() -> None:
    for sent in ({"refine": "none", "threshold": 0.0}, {"refine": "grabcut"}):
        refined = refine_maps(
            np.zeros((4, 6, 3), np.uint8), np.zeros((1, 2, 3), np.float32), WHOLE, settings_for(**sent),
            box=None, side=500, names=("dog",),
        )  # fmt: skip
        assert not refined.label_map.any()
        assert refined.warnings[0].startswith("dog: ")


def test_grabcut_without_background_falls_back_to_the_map() -> None:
    refined = refine_maps(
        np.zeros((4, 6, 3), np.uint8), np.ones((1, 4, 6), np.float32), WHOLE, settings_for(grabcut_mode="pf_pb"),
        box=None, side=500, names=("dog",),
    )  # fmt: skip
    assert refined.label_map.all()
    assert "no foreground or no background" in refined.warnings[0]


def test_a_box_that_fills_the_photo_leaves_naked_grabcut_nothing_to_learn() -> None:
    refined = cut_box(np.zeros((4, 6, 3), np.uint8), Box(0, 0, 6, 4), iterations=1, side=500)
    assert refined.label_map.all()
    assert "outside the box" in refined.warnings[0]


def test_large_photos_are_cut_small_and_masks_come_back_at_full_size() -> None:
    rgb = np.full((300, 420, 3), 30, np.uint8)
    rgb[90:210, 120:300] = 220
    small, full = (cut_box(rgb, Box(80, 60, 340, 240), iterations=1, side=side).label_map for side in (140, 500))
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
