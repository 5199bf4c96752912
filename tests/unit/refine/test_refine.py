import cv2
import numpy as np
import pytest

from tests.helpers.fakes import make_card
from weakseg.card import Settings, Sides
from weakseg.options import Refine, parse_options
from weakseg.refine.bench import grow_labels, shrink_to_side, stretch_in_box
from weakseg.refine.gaussian import smooth_map
from weakseg.refine.refine import cut_box, refine_maps
from weakseg.types import Box, Geometry

SMALL = Geometry((4, 6))
NAKED = Settings(refine=Refine.GRABCUT, iterations=1)


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
        sides=Sides(500, 500, 500),
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
        sides=Sides(500, 500, 500),
    )
    assert refined.label_map.tolist() == [[0] * 6, [0, 1, 1, 1, 0, 0], [0, 1, 1, 1, 0, 0], [0] * 6]


def test_grabcut_works_on_the_box_and_its_context_at_the_sharpest_size() -> None:
    """A small object in a large photo: cut from its surroundings, not from a photo shrunk to a stamp."""
    rgb = np.full((600, 900, 3), 30, np.uint8)
    rgb[307:341, 511:553] = 220
    box = Box(500, 300, 560, 350)
    near = cut_box(rgb, Geometry((600, 900)), box, NAKED, context=0.3, sides=Sides(100, 100, 100)).label_map
    assert near.sum() == 34 * 42
    assert near[307:341, 511:553].all()
    far = cut_box(rgb, Geometry((600, 900)), box, NAKED, context=None, sides=Sides(100, 100, 100)).label_map
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
            sides=Sides(500, 500, 500),
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
        sides=Sides(500, 500, 500),
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
        sides=Sides(500, 500, 500),
    )
    assert refined.label_map.all()
    assert "no foreground or no background" in refined.warnings[0]


def test_a_box_that_fills_the_photo_leaves_naked_grabcut_nothing_to_learn() -> None:
    refined = cut_box(
        np.zeros((4, 6, 3), np.uint8), SMALL, Box(0, 0, 6, 4), NAKED, context=0.3, sides=Sides(500, 500, 500)
    )
    assert refined.label_map.all()
    assert "outside the box" in refined.warnings[0]


def test_large_photos_are_cut_small_and_masks_come_back_at_full_size() -> None:
    rgb = np.full((300, 420, 3), 30, np.uint8)
    rgb[90:210, 120:300] = 220
    small, full = (
        cut_box(
            rgb, Geometry((300, 420)), Box(80, 60, 340, 240), NAKED, context=None, sides=Sides(side, side, side)
        ).label_map
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


def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A red ellipse on blue, 60 x 90; its mask; and a map of 15 x 30 cells that is its blurred shape."""
    truth = np.zeros((60, 90), np.uint8)
    cv2.ellipse(truth, (50, 30), (24, 16), 20, 0, 360, 1, -1)
    rgb = np.where(truth[..., None] == 1, (200, 40, 40), (40, 60, 180)).astype(np.uint8)
    coarse = cv2.GaussianBlur(truth.astype(np.float32), (0, 0), 6)
    return rgb, truth.astype(bool), cv2.resize(coarse, (30, 15), interpolation=cv2.INTER_AREA)


def refine_scene(**sent: object) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    rgb, truth, class_map = scene()
    settings = settings_for(threshold=0.5, **sent)
    maps = class_map[None]  # (1, 15, 30)
    refined = refine_maps(
        rgb, maps, Geometry((60, 90)), settings, ("dog",), (0.5,), box=None, context=None, sides=Sides(500, 500, 500)
    )
    return refined.label_map == 1, truth, refined.warnings


def iou(found: np.ndarray, truth: np.ndarray) -> float:
    return (found & truth).sum() / (found | truth).sum()


def test_a_gaussian_alone_is_the_smoothed_map_cut_at_the_threshold() -> None:
    _, truth, class_map = scene()
    found, _, _ = refine_scene(refine="gaussian", sigma=0.05)
    assert np.array_equal(found, Geometry((60, 90)).restore(smooth_map(class_map, 0.05, (60, 90))) >= 0.5)
    assert iou(found, truth) < 0.97


@pytest.mark.parametrize("refine", [refine for refine in Refine if refine.has_crf])
def test_a_crf_finds_the_border_alone_and_together(refine: Refine) -> None:
    found, truth, warnings = refine_scene(refine=refine)
    assert iou(found, truth) > 0.98
    assert warnings == ()


def test_grabcut_sees_the_crfs_probability() -> None:
    """Levels so high that the map itself has no foreground at all."""
    found, truth, warnings = refine_scene(refine="crf+grabcut", grabcut_mode="0,0.98,1", crf_confidence=1)
    assert iou(found, truth) > 0.98
    assert warnings == ()


def test_grabcut_after_a_crf_that_finds_nothing() -> None:
    rgb, _, class_map = scene()
    settings = settings_for(refine="crf+grabcut", threshold=1)
    faint = class_map[None] * np.float32(0.3)  # (1, 15, 30)
    refined = refine_maps(
        rgb, faint, Geometry((60, 90)), settings, ("dog",), (0.5,), box=None, context=None, sides=Sides(500, 500, 500)
    )
    assert not refined.label_map.any()
    assert refined.warnings == (
        "dog: GrabCut had no foreground or no background to learn from; the CRF's probability is cut at t1.",
    )


@pytest.mark.parametrize("refine", ["crf", "crf+grabcut"])
def test_one_crf_for_two_labels(refine: str) -> None:
    """Left red, middle blue, right red; both maps cover the middle, and the dog's score is higher."""
    rgb = np.full((12, 36, 3), (40, 60, 180), np.uint8)
    rgb[:, :12] = rgb[:, 24:] = (200, 40, 40)
    maps = np.zeros((2, 12, 36), np.float32)
    maps[0, :, :24] = 0.9
    maps[1, :, 12:] = 0.9
    refined = refine_maps(
        rgb,
        maps,
        Geometry((12, 36)),
        settings_for(refine=refine, threshold=0.5, crf_smooth_weight=0, crf_colour_sigma=0.1),
        ("cat", "dog"),
        (0.2, 0.6),
        box=None,
        context=None,
        sides=Sides(500, 500, 500),
    )
    assert refined.label_map.tolist() == [[1] * 12 + [2] * 24] * 12


def test_a_crf_in_a_box_works_on_the_box_and_its_context() -> None:
    """The map is flat, so all inside the box starts as object; the ground outside pulls the ground inside out."""
    rgb = np.full((600, 900, 3), 30, np.uint8)
    rgb[307:341, 511:553] = 220
    box = Box(500, 300, 560, 350)
    settings = settings_for(refine="crf", threshold=0.5, crf_confidence=1, crf_colour_sigma=0.5, box="500,300,560,350")
    refined = refine_maps(
        rgb,
        np.ones((1, 6, 9), np.float32),
        Geometry((600, 900)),
        settings,
        ("dog",),
        (0.5,),
        box=box,
        context=0.5,
        sides=Sides(120, 120, 120),
    )
    found = refined.label_map == 1
    assert found[307:341, 511:553].all()
    assert found.sum() < 1.1 * 34 * 42


def test_an_empty_map_gives_an_empty_mask_however_it_is_refined() -> None:
    for refine in Refine:
        refined = refine_maps(
            np.zeros((4, 6, 3), np.uint8),
            np.zeros((2, 2, 3), np.float32),
            SMALL,
            settings_for(refine=refine, threshold=0.3 if refine.cuts and not refine.has_crf else 0.0),
            ("dog", "cat"),
            (0.5, 0.0),
            box=None,
            context=None,
            sides=Sides(500, 500, 500),
        )
        assert not refined.label_map.any()


@pytest.mark.parametrize("refine", list(Refine))
@pytest.mark.parametrize("box", [None, Box(0, 0, 1, 1)])
def test_a_photo_of_one_pixel(refine: Refine, box: Box | None) -> None:
    for value, expected in ((1.0, 1), (0.0, 1 if box else 0)):  # in a box a constant map becomes 1
        refined = refine_maps(
            np.zeros((1, 1, 3), np.uint8),
            np.full((1, 1, 1), value, np.float32),
            Geometry((1, 1)),
            settings_for(refine=refine, threshold=0.5),
            ("dog",),
            (0.5,),
            box=box,
            context=0.3,
            sides=Sides(500, 500, 500),
        )
        assert refined.label_map.tolist() == [[expected]]
