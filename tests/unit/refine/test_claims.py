"""Probabilities of networks that learned masks: who gets a pixel, by hand; the CRF's unary against softmax."""

import numpy as np
import pytest

from tests.helpers.fakes import make_pixel_card
from weakseg.card import CrfSettings, Settings, Sides
from weakseg.options import Refine, parse_options
from weakseg.refine.claims import PROBABILITIES, remainder
from weakseg.refine.crf import pose_probabilities, probability_logits
from weakseg.refine.refine import Refined, refine_maps
from weakseg.types import Box, Geometry

#            one pixel each:  a clear, b clear, rest, close, neither half nor rest, more than 1 (groups overlap)
PIXELS = np.array([[0.8, 0.1, 0.2, 0.41, 0.30, 0.9], [0.1, 0.7, 0.1, 0.40, 0.34, 0.8]], np.float32)  # (2, 6)
ROW = PIXELS[:, None, :].repeat(4, axis=1)  # (2, 4, 6)
RGB = np.zeros((4, 6, 3), np.uint8)


def settings_for(**sent: object) -> Settings:
    return make_pixel_card().settings(parse_options(sent))


def refine(maps: np.ndarray, box: Box | None = None, **sent: object) -> Refined:
    return refine_maps(
        RGB,
        maps,
        Geometry((4, 6), fine=True),
        settings_for(**sent),
        [str(index) for index in range(len(maps))],
        [0.9, 0.01, 0.5][: len(maps)],
        box=box,
        context=None,
        sides=Sides(500, 500, 500),
        claims=PROBABILITIES,
    )


@pytest.mark.parametrize(
    ("threshold", "row"),
    [
        (0.5, [1, 2, 0, 1, 0, 1]),  # the most probable, if the rest is not: 0.34 < 0.36
        (0.2, [1, 2, 1, 1, 2, 1]),  # 0.2 * 0.8 >= 0.7 * 0.2
        (0.8, [1, 0, 0, 0, 0, 1]),  # 0.7 * 0.2 < 0.2 * 0.8; 0.41 * 0.2 < 0.19 * 0.8
        (0.0, [1, 2, 1, 1, 2, 1]),
    ],
)
def test_a_pixel_goes_to_the_most_probable_label_if_the_rest_is_not_more(threshold: float, row: list[int]) -> None:
    assert refine(ROW, threshold=threshold).label_map.tolist() == [row] * 4


def test_one_label_is_cut_at_the_threshold() -> None:
    assert refine(ROW[:1], threshold=0.41).label_map.tolist() == [[1, 0, 0, 1, 0, 1]] * 4


def test_the_rest_is_what_was_not_asked_for() -> None:
    assert remainder(ROW)[0].tolist() == pytest.approx([0.1, 0.2, 0.7, 0.19, 0.36, 0], abs=1e-6)


def test_an_improbable_label_is_no_object_inside_its_box() -> None:
    """Maps are stretched inside a box; probabilities say by themselves that nothing is there."""
    box = Box(1, 1, 5, 3)
    assert not refine(np.full((1, 4, 6), 0.1, np.float32), box).label_map.any()
    inside = refine(np.full((2, 4, 6), 0.45, np.float32), box).label_map
    assert inside.tolist() == [[0] * 6, [0, 2, 2, 2, 2, 0], [0, 2, 2, 2, 2, 0], [0] * 6]


def test_smoothing_keeps_probabilities_probabilities() -> None:
    """Maps are scaled to their old maximum; a speck of probability 0.9 among 0.1 is no object once it is smoothed."""
    maps = np.full((1, 4, 6), 0.1, np.float32)
    maps[0, 1, 2] = 0.9
    assert refine(maps, refine="none").label_map.sum() == 1
    assert not refine(maps, refine="gaussian", sigma=0.2).label_map.any()


@pytest.mark.parametrize("steps", ["grabcut", "crf", "crf+grabcut", "guided", "gaussian+crf"])
def test_every_refinement_takes_probabilities(steps: str) -> None:
    """Two objects of their own colours, half the photo each; the network is unsure where one ends."""
    rgb = np.zeros((24, 36, 3), np.uint8)
    rgb[6:18, 4:16], rgb[6:18, 20:32] = (220, 30, 30), (30, 220, 30)
    maps = np.full((2, 24, 36), 0.02, np.float32)
    maps[0, 5:19, 4:17], maps[1, 5:19, 20:33] = 0.6, 0.6
    maps[0, 7:17, 6:14], maps[1, 7:17, 22:30] = 0.95, 0.95
    refined = refine_maps(
        rgb,
        maps,
        Geometry((24, 36), fine=True),
        settings_for(refine=steps),
        ("a", "b"),
        (0.9, 0.9),
        box=None,
        context=None,
        sides=Sides(500, 500, 500),
        claims=PROBABILITIES,
    )
    wanted = np.zeros((24, 36), np.uint8)
    wanted[6:18, 4:16], wanted[6:18, 20:32] = 1, 2
    assert (refined.label_map != wanted).mean() < 0.07
    assert set(np.unique(refined.label_map)) == {0, 1, 2}


def test_the_unary_gives_back_the_networks_probabilities() -> None:
    logits = probability_logits(ROW[:, :, :5], confidence=1.0, threshold=0.5)
    odds = np.exp(logits)
    probs = odds / odds.sum(axis=0)
    np.testing.assert_allclose(probs[1:], ROW[:, :, :5], atol=1e-5)
    np.testing.assert_allclose(probs[0], remainder(ROW)[:, :5], atol=1e-5)


def test_the_unary_is_zero_at_the_threshold_and_as_steep_as_asked() -> None:
    """logit 0.8 - logit 0.2 = 2 log 4."""
    maps = np.array([[[0.2, 0.8, 0.0, 1.0]]], np.float32)
    logits = probability_logits(maps, confidence=3.0, threshold=0.2)
    assert logits[0].tolist() == [[0, 0, 0, 0]]
    assert logits[1, 0, :2].tolist() == pytest.approx([0, 3 * 2 * np.log(4)], abs=1e-4)
    assert np.isfinite(logits).all(), "neither 0 nor 1 is certain"


def test_a_label_that_is_likely_nowhere_takes_no_part_in_a_crf() -> None:
    maps = np.stack([np.full((4, 6), 0.6), np.full((4, 6), 0.01)]).astype(np.float32)
    posed = pose_probabilities(maps, RGB, CrfSettings(confidence=1), threshold=0.5)
    assert posed.present.tolist() == [True, True, False]
    assert posed.problem.logits.shape == (2, 4, 6)


@pytest.mark.parametrize("steps", [Refine.CRF, Refine.CRF_GRABCUT])
def test_nothing_is_likely_anywhere(steps: Refine) -> None:
    assert not refine(np.full((2, 4, 6), 0.01, np.float32), refine=str(steps)).label_map.any()
