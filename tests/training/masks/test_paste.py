"""Objects pasted on scenes: where they are, the mask says."""

from __future__ import annotations

import numpy as np
import pytest

from tests.training.masks.drawn_masks import Pixels, on_paper
from training.masks.paste import PasteSettings, paste, trim
from training.masks.white import Cutout, cut_out

PLAIN = PasteSettings(size=(0.5, 0.5), turn_deg=0, outside=0, light=0)
SCENE_HW = (60, 90)


@pytest.fixture
def red() -> Cutout:
    """A red rectangle of 20 x 40 on #f5f5f5, its left end green."""
    rgb = on_paper((48, 64))
    rgb[14:34, 12:52] = (200, 0, 0)
    rgb[14:34, 12:22] = (0, 200, 0)
    return trim(cut_out(rgb))


def blue(hw: tuple[int, int] = SCENE_HW) -> Pixels:
    scene = np.zeros((*hw, 3), np.uint8)
    scene[..., 2] = 90
    return scene


def extent(mask: Pixels) -> tuple[int, int]:
    rows, columns = np.nonzero(mask)
    return int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1


def test_trimming_leaves_a_margin(red: Cutout) -> None:
    assert red.mask.sum() == 800
    assert red.cover.shape == red.rgb.shape[:2]
    assert 20 < red.cover.shape[0] < 30
    assert not red.cover[0].any()


def test_size_is_a_share_of_the_scene_s_shorter_side(red: Cutout) -> None:
    """0.5 of 60 pixels is 30 for the cut-out, of which 40 / 48 is the rectangle."""
    masked = paste(blue(), [red], np.random.default_rng(0), PLAIN)
    height, width = extent(masked.targets)
    assert width == pytest.approx(30 * 40 / red.cover.shape[1], abs=1)
    assert height == pytest.approx(width / 2, abs=1)
    assert masked.rgb.shape == (*SCENE_HW, 3)
    assert masked.rgb.dtype == masked.targets.dtype == np.uint8


def test_the_mask_is_where_the_object_is_and_the_scene_is_itself_elsewhere(red: Cutout) -> None:
    for seed in range(8):
        settings = PasteSettings(size=(0.3, 1.2), turn_deg=40, outside=0.3, light=0)
        scene = blue()
        masked = paste(scene, [red], np.random.default_rng(seed), settings)
        is_object = masked.rgb[..., :2].max(2) > 100  # red or green
        assert np.count_nonzero(is_object == (masked.targets == 1)) / is_object.size > 0.99
        untouched = masked.rgb[..., :2].max(2) == 0
        np.testing.assert_array_equal(masked.rgb[untouched], scene[untouched])
        np.testing.assert_array_equal(scene, blue())


def test_edges_are_soft_and_without_the_paper_s_colour(red: Cutout) -> None:
    masked = paste(blue(), [red], np.random.default_rng(0), PLAIN)
    mixed = (masked.rgb[..., :2].max(2) > 5) & (masked.rgb[..., 2] > 5)
    assert mixed.sum() > 20
    assert masked.rgb[..., 2].max() <= 90  # no pixel is bluer than the scene: paper would be


def test_objects_stay_inside_or_go_out_by_their_share(red: Cutout) -> None:
    whole = {paste(blue(), [red], np.random.default_rng(seed), PLAIN).targets.sum() for seed in range(12)}
    assert max(whole) - min(whole) <= 30
    settings = PasteSettings(size=(0.5, 0.5), turn_deg=0, outside=0.5, light=0)
    areas = [int(paste(blue(), [red], np.random.default_rng(seed), settings).targets.sum()) for seed in range(40)]
    assert min(areas) < 0.8 * max(whole)
    assert min(areas) > 0.2 * max(whole)  # at most half out at two sides


def test_an_object_larger_than_the_scene(red: Cutout) -> None:
    masked = paste(blue(), [red], np.random.default_rng(0), PasteSettings(size=(3, 3), turn_deg=0, outside=0, light=0))
    assert masked.targets.mean() > 0.9


def test_half_are_mirrored(red: Cutout) -> None:
    left = []
    for seed in range(24):
        rgb = paste(blue(), [red], np.random.default_rng(seed), PLAIN).rgb
        left.append(np.nonzero(rgb[..., 1] > 100)[1].mean() < np.nonzero(rgb[..., 0] > 100)[1].mean())
    assert 6 <= sum(left) <= 18


def test_later_objects_hide_earlier_ones(red: Cutout) -> None:
    both = paste(blue(), [red, red], np.random.default_rng(3), PLAIN)
    one = paste(blue(), [red], np.random.default_rng(3), PLAIN)
    assert (both.targets >= one.targets).all()
    assert both.targets.sum() > one.targets.sum()
    assert set(np.unique(both.targets)) == {0, 1}


def test_none_is_the_scene(red: Cutout) -> None:
    masked = paste(blue(), [], np.random.default_rng(0))
    np.testing.assert_array_equal(masked.rgb, blue())
    assert not masked.targets.any()


def test_light_darkens_objects_in_dark_scenes_alone(red: Cutout) -> None:
    strong = PasteSettings(size=(0.9, 0.9), turn_deg=0, outside=0, light=1)

    def brightness(scene: Pixels) -> float:
        found = [paste(scene, [red], np.random.default_rng(seed), strong) for seed in range(10)]
        return float(np.mean([masked.rgb[masked.targets == 1].mean() for masked in found]))

    dark, medium = (np.full((*SCENE_HW, 3), value, np.uint8) for value in (10, 128))
    assert brightness(dark) < 0.85 * brightness(medium)
    assert brightness(medium) == pytest.approx(200 / 3, rel=0.1)
