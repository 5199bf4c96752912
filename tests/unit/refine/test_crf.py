import cv2
import numpy as np
import pytest

from tests.helpers.mean_field import infer_exactly
from weakseg.card import CrfSettings
from weakseg.errors import ShapeMismatchError
from weakseg.refine.crf import refine_with_crf, unary_logits
from weakseg.refine.densecrf.problem import CrfEngine, Kernels
from weakseg.refine.densecrf.reference import infer_with_pydensecrf
from weakseg.types import Box

ENGINES = pytest.mark.parametrize("engine", [infer_with_pydensecrf, infer_exactly], ids=["densecrf", "exact sums"])
SETTINGS = CrfSettings(steps=5, confidence=10, smooth_sigma=0.03, colour_sigma=0.3, colour_rgb=20)
BLACK = np.zeros((4, 6, 3), np.uint8)


def softmax(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits) / np.exp(logits).sum(0)


def test_one_label_is_a_sigmoid() -> None:
    class_map = np.array([[[0, 0.3, 0.4, 1]]], np.float32)
    probs = softmax(unary_logits(class_map, [0.2], confidence=14, threshold=0.4))
    assert np.allclose(probs[1], 1 / (1 + np.exp(-14 * (class_map[0] - 0.4))), atol=1e-6)
    assert probs[1, 0, 2] == 0.5


def test_labels_are_weighed_by_their_scores() -> None:
    maps = np.full((3, 1, 2), 0.7, np.float32)
    logits = unary_logits(maps, [0.1, 0.4, 0.0], confidence=10, threshold=0.4)
    assert np.allclose(logits[:, 0, 0], [0, 3 + np.log(0.25), 3, 3 + np.log(1e-6 / 0.4)], atol=1e-5)
    nobody = unary_logits(maps, [0, 0, 0], confidence=10, threshold=0.4)
    assert np.allclose(nobody[1:], 3), "nothing to tell them apart but their maps"


def test_kernels_grow_with_the_photo() -> None:
    settings = CrfSettings(smooth_sigma=0.01, colour_sigma=0.1, colour_rgb=7)
    assert Kernels.at_size(settings, (300, 200)) == Kernels(3.0, 3.0, 30.0, 7.0, 5.0)
    assert Kernels.at_size(settings, (90, 150)) == Kernels(1.5, 3.0, 15.0, 7.0, 5.0)


@ENGINES
def test_colours_decide_where_the_map_is_coarse(engine: CrfEngine) -> None:
    """A red ellipse on blue, and a map that is its blurred, shifted shape."""
    truth = np.zeros((20, 30), np.uint8)
    cv2.ellipse(truth, (16, 10), (8, 5), 20, 0, 360, 1, -1)
    noise = np.random.default_rng(7).normal(0, 6, (20, 30, 3))
    rgb = np.clip(np.where(truth[..., None] == 1, (200, 40, 40), (40, 60, 180)) + noise, 0, 255).astype(np.uint8)
    coarse = cv2.GaussianBlur(np.roll(truth, (1, -2), (0, 1)).astype(np.float32), (0, 0), 3)
    coarse /= coarse.max()
    before = coarse.copy()
    probs = refine_with_crf(coarse[None], [0.5], rgb, SETTINGS, threshold=0.5, engine=engine)
    found = probs[1] > 0.5
    guess = coarse >= 0.5
    assert (guess & (truth == 1)).sum() / (guess | (truth == 1)).sum() < 0.8
    assert (found & (truth == 1)).sum() / (found | (truth == 1)).sum() > 0.97
    assert np.allclose(probs.sum(0), 1, atol=1e-5)
    assert np.array_equal(coarse, before)


@ENGINES
def test_a_map_of_zeros_claims_nothing_even_at_threshold_0(engine: CrfEngine) -> None:
    maps = np.zeros((2, 4, 6), np.float32)
    maps[1, :2] = 1
    probs = refine_with_crf(maps, [0.9, 0.1], BLACK, SETTINGS, threshold=0.0, engine=engine)
    alone = refine_with_crf(maps[1:], [0.1], BLACK, SETTINGS, threshold=0.0, engine=engine)
    assert not probs[1].any()
    assert (alone[1, :2] > 0.5).all()
    nothing = refine_with_crf(maps[:1], [0.9], BLACK, SETTINGS, threshold=0.0, engine=engine)
    assert (nothing[0] == 1).all()
    assert not nothing[1].any()


@ENGINES
def test_outside_a_box_is_background_for_certain(engine: CrfEngine) -> None:
    settings = SETTINGS.model_copy(update={"smooth_weight": 100.0, "colour_weight": 100.0, "confidence": 200.0})
    box = Box(1, 1, 4, 3)
    probs = refine_with_crf(
        np.ones((1, 4, 6), np.float32), [0.5], BLACK, settings, threshold=0.0, engine=engine, box=box
    )
    outside = np.ones((4, 6), bool)
    outside[box.slices] = False
    assert (probs[1, outside] == 0).all()
    assert (probs[0, outside] == 1).all()


@ENGINES
@pytest.mark.parametrize("hw", [(1, 1), (1, 5), (5, 1)])
@pytest.mark.parametrize(("value", "row"), [(0.1, 0), (1.0, 1)])
def test_photos_of_a_few_pixels(engine: CrfEngine, hw: tuple[int, int], value: float, row: int) -> None:
    class_map = np.full((1, *hw), value, np.float32)
    probs = refine_with_crf(class_map, [0.5], np.zeros((*hw, 3), np.uint8), SETTINGS, threshold=0.5, engine=engine)
    assert (probs[row] > 0.98).all()


def test_shapes_must_agree() -> None:
    with pytest.raises(ShapeMismatchError):
        refine_with_crf(
            np.ones((1, 6, 4), np.float32), [0.5], BLACK, SETTINGS, threshold=0.5, engine=infer_with_pydensecrf
        )
