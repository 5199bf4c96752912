"""Masks of objects on a plain background: drawn objects whose pixels are known."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tests.training.masks.drawn_masks import PAPER, Pixels, on_paper
from training.masks.white import WhiteSettings, cut_out, drop_specks, fill_holes, mask_white, measure_background
from weakseg.errors import DataError

PALE, WHITE, DARK = (236, 233, 229), (255, 255, 255), (40, 50, 90)


def draw(colour: tuple[int, int, int]) -> tuple[Pixels, Pixels]:
    """An L-shaped object on #f5f5f5, and its mask."""
    rgb = on_paper()
    mask = np.zeros(rgb.shape[:2], bool)
    mask[20:60, 15:50] = mask[45:60, 50:100] = True
    rgb[mask] = colour
    return rgb, mask


@pytest.mark.parametrize("colour", [PALE, WHITE, DARK])
def test_the_mask_is_exactly_the_object(colour: tuple[int, int, int]) -> None:
    """Paler than the background by 9 of 255, brighter by 10, or dark."""
    rgb, mask = draw(colour)
    before = rgb.copy()
    np.testing.assert_array_equal(mask_white(rgb), mask)
    np.testing.assert_array_equal(rgb, before)


def test_a_paler_object_needs_a_lower_threshold() -> None:
    rgb, mask = draw((242, 242, 245))
    assert not mask_white(rgb).any()
    np.testing.assert_array_equal(mask_white(rgb, WhiteSettings(threshold=1.5)), mask)


def test_small_holes_are_filled_and_large_ones_stay() -> None:
    rgb, mask = draw(DARK)
    rgb[30:33, 25:29] = PAPER  # 12 of 2150 pixels
    assert mask_white(rgb)[30:33, 25:29].all()
    rgb[28:36, 22:30] = PAPER  # 64 pixels
    mask[28:36, 22:30] = False
    np.testing.assert_array_equal(mask_white(rgb), mask)
    assert mask_white(rgb, WhiteSettings(holes=0.04))[28:36, 22:30].all()


def test_specks_are_removed_up_to_their_share() -> None:
    rgb, mask = draw(PALE)
    rgb[5:9, 100:105] = DARK  # 20 pixels beside 2150
    np.testing.assert_array_equal(mask_white(rgb), mask)
    mask[5:9, 100:105] = True
    np.testing.assert_array_equal(mask_white(rgb, WhiteSettings(specks=0.005)), mask)


def test_a_soft_shadow_is_left_out() -> None:
    """Below a white sole, over three rows and beyond both of its ends."""
    rgb, mask = on_paper(), np.zeros((80, 120), bool)
    mask[20:60, 20:100] = True
    rgb[mask] = DARK
    rgb[50:60, 20:100] = WHITE
    for row, grey in enumerate((150, 190, 225)):
        rgb[60 + row, 16:104] = grey
    assert mask_white(rgb, WhiteSettings(shadows=False))[60, 20:100].all()
    mask[50, [20, 99]] = False  # the sole's upper corners count as fringe of the dark part beside them
    np.testing.assert_array_equal(mask_white(rgb), mask)


def test_a_jpeg_of_a_pale_object_is_masked_to_one_pixel_of_its_outline() -> None:
    rgb, mask = draw(PALE)
    data = io.BytesIO()
    Image.fromarray(rgb).save(data, "JPEG", quality=85)
    found = mask_white(np.array(Image.open(data)))
    assert np.count_nonzero(found & mask) / np.count_nonzero(found | mask) > 0.96


def test_noise_raises_the_threshold() -> None:
    rgb, mask = draw(DARK)
    noisy = np.clip(rgb + np.random.default_rng(0).normal(0, 4, rgb.shape), 0, 255).astype(np.uint8)
    assert measure_background(noisy)[1] > 2
    found = mask_white(noisy)
    assert np.count_nonzero(found & mask) / np.count_nonzero(found | mask) > 0.97


def test_the_background_is_the_median_of_the_border() -> None:
    rgb = on_paper()
    rgb[:, :2] = 0  # an object that touches one side
    colour, noise = measure_background(rgb)
    assert colour.tolist() == [PAPER] * 3
    assert noise == 0


def test_a_photo_of_the_background_alone() -> None:
    assert not mask_white(on_paper()).any()
    with pytest.raises(DataError, match="nothing but background"):
        cut_out(on_paper())


def test_large_photos_are_masked_in_a_reduced_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.masks.white.LARGEST_PX", 120)
    rgb, mask = draw(DARK)
    large = np.kron(rgb, np.ones((3, 3, 1), np.uint8))  # (240, 360, 3)
    expected = np.kron(mask, np.ones((3, 3), bool))
    found = mask_white(large)
    assert np.count_nonzero(found & expected) / np.count_nonzero(found | expected) > 0.99


def test_the_background_is_taken_out_of_the_edges() -> None:
    """A pixel that is half object, half background gets a colour darker than the mixture; the middle keeps its own."""
    rgb, mask = draw(DARK)
    mixed = (np.array(DARK) + PAPER) // 2
    rgb[20, 20:45] = mixed  # the upper rim
    cutout = cut_out(rgb)
    assert cutout.mask[20, 25]
    assert (cutout.rgb[20, 25] < mixed - 20).all()
    assert cutout.rgb[40, 30].tolist() == list(DARK)
    assert cutout.cover[40, 30] == 255
    assert 0 < cutout.cover[19, 30] < 128 < cutout.cover[20, 30] < 255
    assert cutout.cover[5, 5] == 0
    np.testing.assert_array_equal(cutout.cover > 127, mask)


def test_cleaning_by_hand() -> None:
    mask = np.zeros((7, 9), bool)
    mask[0:6, 0:6] = True  # 36
    mask[2, 2] = False  # a hole of 1
    mask[0, 3] = False  # open to the border
    mask[6, 8] = True  # a speck of 1
    filled = fill_holes(mask, 0.1)
    assert filled[2, 2]
    assert not filled[0, 3]
    assert not fill_holes(mask, 0.01)[2, 2]
    assert not drop_specks(mask, 0.1)[6, 8]
    assert drop_specks(mask, 0.01)[6, 8]
