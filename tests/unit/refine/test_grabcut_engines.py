"""The compiled GrabCut against OpenCV's, against formulas, and against itself."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import skimage.data
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from weakseg import _native
from weakseg.options import GrabCutEngine
from weakseg.refine import grabcut
from weakseg.refine.grabcut import box_seeds, can_cut, cut
from weakseg.types import Box, Mask, Rgb

FAST, OPENCV = GrabCutEngine.FAST, GrabCutEngine.OPENCV
EVERY_PIXEL = 10**9

Seeds = NDArray[np.uint8]


def overlap(first: Mask, second: Mask) -> float:
    return float((first & second).sum() / (first | second).sum())


def photos() -> dict[str, tuple[Rgb, Seeds]]:
    cat, woman, cup = skimage.data.chelsea(), skimage.data.astronaut(), skimage.data.coffee()
    return {
        "chelsea": (cat, box_seeds(cat.shape[:2], Box(90, 20, 420, 290))),
        "astronaut": (woman, box_seeds(woman.shape[:2], Box(20, 5, 420, 505))),
        "coffee": (cup, box_seeds(cup.shape[:2], Box(120, 40, 520, 330))),
    }


def run_opencv(rgb: Rgb, seeds: Seeds, iterations: int) -> tuple[Mask, NDArray[np.float64]]:
    """Mask and the colour models of the last cut, background's and object's: (H, W) and (2, 65)."""
    cv2.setRNGSeed(0)
    state, models = seeds.copy(), [np.zeros((1, 65)), np.zeros((1, 65))]
    cv2.grabCut(rgb, state, (0, 0, 0, 0), *models, iterations, cv2.GC_INIT_WITH_MASK)
    return (state & 1).astype(bool), np.concatenate(models)  # (H, W), (2, 65)


def noise_case(height: int, width: int, seed: int) -> tuple[Rgb, Seeds]:
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 256, (rng.integers(1, 6), 3), np.uint8)  # few: covariances are singular
    rgb = colours[rng.integers(0, len(colours), (height, width))]  # (H, W, 3)
    return rgb, rng.integers(0, 4, (height, width), np.uint8)


@pytest.mark.parametrize("name", ["chelsea", "astronaut"])
def test_colours_begin_as_opencv_s(name: str) -> None:
    """Below the size from which the compiled part thins colours, it is OpenCV's computation, digit by digit."""
    rgb, seeds = (np.ascontiguousarray(whole[::4, ::3]) for whole in photos()[name])
    _, expected = run_opencv(rgb, seeds, 1)
    found, _ = _native.explain_seeds(rgb, seeds)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-6)


def test_costs_by_the_formula() -> None:
    rgb, seeds = (np.ascontiguousarray(whole[::5, ::5]) for whole in photos()["coffee"])
    models, costs = _native.explain_seeds(rgb, seeds)
    for model, cost in zip(models, costs, strict=True):
        shares, means, covariances = model[:5], model[5:20].reshape(5, 3), model[20:].reshape(5, 3, 3)
        apart = rgb[:, :, None, :] - means  # (H, W, 5, 3)
        distances = np.einsum("hwki,kij,hwkj->hwk", apart, np.linalg.inv(covariances), apart)  # (H, W, 5)
        logs = np.log(shares) - np.log(np.linalg.det(covariances)) / 2 - distances / 2
        np.testing.assert_allclose(cost, -np.logaddexp.reduce(logs, axis=-1), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", ["chelsea", "astronaut", "coffee"])
@pytest.mark.parametrize("iterations", [1, 3])
def test_a_cut_of_every_pixel_is_opencv_s(name: str, iterations: int) -> None:
    """The same energy, cut at one go: what differs is rounding."""
    rgb, seeds = (np.ascontiguousarray(whole[::3, ::3]) for whole in photos()[name])
    expected, _ = run_opencv(rgb, seeds, iterations)
    found = _native.cut_photo(rgb, seeds, iterations, EVERY_PIXEL, 0).astype(bool)
    assert overlap(found, expected) > 0.998


@pytest.mark.parametrize("name", ["chelsea", "astronaut", "coffee"])
@pytest.mark.parametrize("iterations", [1, 5])
def test_fast_finds_what_opencv_finds(name: str, iterations: int) -> None:
    rgb, seeds = photos()[name]
    fast, opencv = (cut(rgb, seeds, iterations=iterations, engine=engine) for engine in (FAST, OPENCV))
    assert overlap(fast, opencv) > 0.95


def test_a_band_over_everything_is_a_cut_of_everything() -> None:
    """With one iteration from four times as many colours as clusters, only the cut differs; here it does not."""
    rgb = np.zeros((41, 62, 3), np.uint8)
    cv2.ellipse(rgb, (33, 20), (17, 11), 15, 0, 360, (200, 90, 40), -1)
    rgb[::2] += 20
    seeds = box_seeds(rgb.shape[:2], Box(8, 4, 57, 38))
    whole = _native.cut_photo(rgb, seeds, 1, EVERY_PIXEL, 0)
    banded = _native.cut_photo(rgb, seeds, 1, 500, 100)
    assert whole.any()
    assert np.array_equal(banded, whole)


@given(st.integers(1, 40), st.integers(1, 53), st.integers(0, 2**32 - 1), st.integers(0, 3), st.integers(1, 3))
def test_any_size_any_colours(height: int, width: int, seed: int, band: int, iterations: int) -> None:
    rgb, seeds = noise_case(height, width, seed)
    before = rgb.copy(), seeds.copy()
    mask = _native.cut_photo(rgb, seeds, iterations, 1 + height * width // 20, band)
    assert mask.shape == seeds.shape
    assert mask.max() <= 1
    sure = seeds < cv2.GC_PR_BGD
    assert np.array_equal(mask[sure], seeds[sure]), "sure seeds stay"
    assert np.array_equal(rgb, before[0])
    assert np.array_equal(seeds, before[1])
    assert np.array_equal(mask, _native.cut_photo(rgb, seeds, iterations, 1 + height * width // 20, band))


@pytest.mark.parametrize("hw", [(1, 1), (1, 2), (2, 1), (1, 3000), (3000, 1), (2, 700), (640, 480)])
@pytest.mark.parametrize("engine", [FAST, OPENCV])
def test_extreme_shapes(hw: tuple[int, int], engine: GrabCutEngine) -> None:
    rgb = np.full((*hw, 3), 90, np.uint8)
    rgb[hw[0] // 3 : 1 + 2 * hw[0] // 3, hw[1] // 3 : 1 + 2 * hw[1] // 3] = 190
    seeds = np.full(hw, cv2.GC_PR_BGD, np.uint8)
    seeds[hw[0] // 2 :, hw[1] // 2 :] = cv2.GC_PR_FGD
    mask = cut(rgb, seeds, iterations=1, engine=engine)
    assert mask.shape == hw
    assert mask.dtype == bool


@pytest.mark.parametrize("engine", [FAST, OPENCV])
@pytest.mark.parametrize("seed", [cv2.GC_BGD, cv2.GC_FGD, cv2.GC_PR_BGD, cv2.GC_PR_FGD])
def test_seeds_of_one_kind_are_the_answer(engine: GrabCutEngine, seed: int) -> None:
    seeds = np.full((6, 9), seed, np.uint8)
    assert not can_cut(seeds)
    assert (cut(np.zeros((6, 9, 3), np.uint8), seeds, iterations=1, engine=engine) == bool(seed & 1)).all()


def test_a_stroke_of_one_pixel_is_kept_and_heard() -> None:
    """A thin sure stroke in a large photo, which the smaller photos do not show."""
    rgb = np.full((600, 840, 3), (40, 60, 180), np.uint8)
    rgb[100:500, 300:560] = (200, 40, 40)
    rgb = np.clip(rgb + np.random.default_rng(3).normal(0, 9, rgb.shape), 0, 255).astype(np.uint8)
    seeds = box_seeds((600, 840), Box(200, 50, 700, 550))
    seeds[300, 310:550] = cv2.GC_BGD
    mask = cut(rgb, seeds, iterations=1)
    assert not mask[300, 310:550].any()
    assert mask[120:280, 320:540].mean() > 0.99


def test_threads_do_not_disturb_each_other() -> None:
    cases = list(photos().values()) * 3
    for engine in (FAST, OPENCV):
        few = cases if engine is FAST else [(rgb[::3, ::3], seeds[::3, ::3]) for rgb, seeds in cases]
        alone = [cut(rgb, seeds, iterations=1, engine=engine) for rgb, seeds in few]
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda case, by=engine: cut(*case, iterations=1, engine=by), few))
        assert all(np.array_equal(*masks) for masks in zip(alone, together, strict=True))


def test_without_the_compiled_part_opencv_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    rgb, seeds = (whole[::3, ::3] for whole in photos()["chelsea"])
    monkeypatch.setattr(grabcut, "native", None)
    assert np.array_equal(cut(rgb, seeds, iterations=1), run_opencv(np.ascontiguousarray(rgb), seeds.copy(), 1)[0])


@pytest.mark.parametrize(
    ("rgb_shape", "seed", "complaint"), [((3, 4, 3), 4, "seeds"), ((4, 3, 3), 0, "shapes"), ((3, 4, 4), 0, "shapes")]
)
def test_what_the_compiled_part_refuses(rgb_shape: tuple[int, ...], seed: int, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        _native.cut_photo(np.zeros(rgb_shape, np.uint8), np.full((3, 4), seed, np.uint8), 1, 100, 1)
