"""pydensecrf against exact sums. Kernels so narrow that a pixel hears only itself are exact; wide ones are not: its
lattice was 0.009 off on average on these photos after five steps, with 99 % equal labels."""

import cv2
import numpy as np
import pytest
import skimage.data

from tests.helpers.mean_field import infer_exactly
from weakseg.errors import ShapeMismatchError
from weakseg.refine.crf import unary_logits
from weakseg.refine.densecrf.problem import CrfProblem, Kernels
from weakseg.refine.densecrf.reference import infer_with_pydensecrf

HW = (24, 36)
NARROW = 1e-9  # in 36 pixels so many times that a lattice of 16-bit places would wrap around


def cat() -> np.ndarray:
    return cv2.resize(skimage.data.chelsea()[40:260, 60:390], HW[::-1], interpolation=cv2.INTER_AREA)


def infer(engine, logits, rgb, kernels, steps):
    return engine([CrfProblem(logits, rgb, kernels, steps)])[0]


def logits_of(labels: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    maps = np.stack([cv2.GaussianBlur(rng.random(HW).astype(np.float32), (0, 0), 4) for _ in range(labels)])
    maps = (maps - maps.min()) / (maps.max() - maps.min())
    return unary_logits(maps, [0.8, 0.5, 0.3][:labels], confidence=8, threshold=0.5)


@pytest.mark.parametrize("labels", [1, 3])
@pytest.mark.parametrize(
    ("kernels", "most_off_on_average"),
    [
        (Kernels(NARROW, 3, NARROW, NARROW, 5), 1e-5),
        (Kernels(1.5, 3, 8, 20, 0), 0.004),
        (Kernels(1.5, 0, 8, 20, 5), 0.015),
        (Kernels(1.5, 3, 8, 20, 5), 0.015),
    ],
    ids=["own message", "smoothness", "appearance", "both"],
)
def test_close_to_exact_sums(labels: int, kernels: Kernels, most_off_on_average: float) -> None:
    logits, rgb = logits_of(labels), cat()
    logits_before, rgb_before = logits.copy(), rgb.copy()
    found, expected = (
        infer(infer_with_pydensecrf, logits, rgb, kernels, steps=5),
        infer(infer_exactly, logits, rgb, kernels, steps=5),
    )
    assert found.dtype == np.float32
    assert np.allclose(found.sum(0), 1, atol=1e-5)
    assert np.abs(found - expected).mean() < most_off_on_average
    assert (found.argmax(0) == expected.argmax(0)).mean() > 0.97
    assert np.abs(expected - infer(infer_exactly, logits, rgb, kernels, steps=0)).max() > 0.4, (
        "the kernels did something"
    )
    assert np.array_equal(logits, logits_before)
    assert np.array_equal(rgb, rgb_before)


def test_one_step_of_one_pixel_by_hand() -> None:
    """Its own message alone: logits 1 and 0, p = e / (1 + e); both kernels count fully, 3 + 5 = 8 times p."""
    logits = np.array([1, 0], np.float32).reshape(2, 1, 1)  # (2, 1, 1)
    rgb = np.zeros((1, 1, 3), np.uint8)
    p = np.e / (1 + np.e)
    expected = 1 / (1 + np.exp(-(1 + 8 * (p - (1 - p)))))
    found = infer(infer_with_pydensecrf, logits, rgb, Kernels(2, 3, 30, 8, 5), steps=1)
    assert found[:, 0, 0] == pytest.approx([expected, 1 - expected], abs=1e-5)


def test_without_kernels_it_is_a_softmax_and_with_one_label_it_is_certain() -> None:
    logits = logits_of(3)
    expected = np.exp(logits) / np.exp(logits).sum(0)
    assert np.allclose(
        infer(infer_with_pydensecrf, logits, cat(), Kernels(1, 0, 1, 1, 0), steps=4), expected, atol=1e-6
    )
    assert (infer(infer_with_pydensecrf, logits[:1], cat(), Kernels(2, 3, 9, 8, 5), steps=2) == 1).all()


def test_equal_bytes_each_time() -> None:
    first, second = (
        infer(infer_with_pydensecrf, logits_of(3), cat(), Kernels(1.5, 3, 8, 20, 5), steps=5) for _ in range(2)
    )
    assert np.array_equal(first, second)


def test_shapes_must_agree() -> None:
    with pytest.raises(ShapeMismatchError):
        CrfProblem(np.zeros((2, 6, 4), np.float32), np.zeros((4, 6, 3), np.uint8), Kernels(1, 1, 1, 1, 1), 1)
