"""What only the compiled CRF engine promises: grids that suit the photo, threads, and no undefined behaviour."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.helpers.crf_engines import cat, cat_logits, problem
from weakseg.options import CrfEngineName
from weakseg.refine.compiled import native
from weakseg.refine.densecrf.levels import LEVELS
from weakseg.refine.densecrf.native import NativeCrf
from weakseg.refine.densecrf.problem import CrfProblem, Kernels

EXACT, FAST = LEVELS[CrfEngineName.EXACT], LEVELS[CrfEngineName.FAST]
NOWHERE_SPARSE = replace(FAST, side=40, sparse=np.inf)
KERNELS = Kernels(3, 3, 30, 13, 10)


def arguments(labels: int = 3, hw: tuple[int, int] = (12, 17), **changed: Any) -> dict[str, Any]:
    """What `infer_crf` takes, by name."""
    drawn = np.random.default_rng(0)
    given = {
        "logits": drawn.standard_normal((labels, *hw)).astype(np.float32),
        "rgb": drawn.integers(0, 256, (*hw, 3), dtype=np.uint8),
        "smooth_sigma": 3.0,
        "colour_sigma": 20.0,
        "colour_rgb": 13.0,
        "smooth_weights": np.full(labels, 3, np.float32),
        "colour_weights": np.full(labels, 5, np.float32),
        "steps": 2,
        "stride": 1,
        "sparse": 0.8,
        "plausible": 0.0,
        "sure": 8.0,
        "probs": np.zeros((labels, *hw), np.float32),
    }
    return given | changed


def infer(**given: Any) -> NDArray[np.float32]:
    assert native is not None
    assert native.infer_crf(**given)
    found: NDArray[np.float32] = given["probs"]
    return found


@pytest.mark.parametrize("labels", [2, 3])
def test_a_grid_whose_points_share_no_vertices_is_made_as_fine_as_the_photo(labels: int) -> None:
    """Of noise and a narrow kernel every point speaks for itself: the result is that of every pixel."""
    noise = arguments(labels, colour_rgb=1.0)
    fine = infer(**noise)
    coarse = infer(**noise | {"stride": 4, "probs": np.zeros_like(fine)})
    assert np.array_equal(coarse, fine)


@pytest.mark.parametrize("labels", [2, 3])
def test_a_coarse_grid_is_kept_where_it_may_be_sparse(labels: int) -> None:
    noise = arguments(labels, colour_rgb=1.0)
    fine = infer(**noise)
    coarse = infer(**noise | {"stride": 4, "sparse": np.inf, "probs": np.zeros_like(fine)})
    assert not np.array_equal(coarse, fine)
    assert np.allclose(coarse.sum(0), 1, atol=1e-5)


@pytest.mark.parametrize("labels", [2, 3])
def test_a_large_photo(labels: int) -> None:
    """Two flat halves of 1800 x 2600 pixels, of which one column in fifty is told wrong: the colours put it right."""
    hw = (1800, 2600)
    rgb = np.full((*hw, 3), 40, np.uint8)
    rgb[:, 1300:] = 200
    logits = np.zeros((labels, *hw), np.float32)
    logits[1, :, 1300:] = logits[0, :, :1300] = 2
    logits[:2, :, ::50] = logits[:2, :, ::50][::-1]
    [found] = NativeCrf(FAST)([CrfProblem(logits, rgb, Kernels(15, 3, 260, 8, 5), 5)])
    labelled = found.argmax(0)
    assert (labelled[:, :1300] == 0).all()
    assert (labelled[:, 1300:] == 1).all()


@pytest.mark.parametrize("level", [EXACT, FAST, NOWHERE_SPARSE], ids=["exact", "fast", "coarse"])
def test_threads_give_the_same_bytes(level: Any) -> None:
    """And whatever a thread solved before leaves no trace."""
    hw = (97, 140)
    problems = [CrfProblem(cat_logits(labels, hw), cat(hw), KERNELS, 3) for labels in (2, 5, 2, 3)]
    problems.insert(2, problem(2))
    alone = [NativeCrf(level)([one])[0] for one in problems]
    together = NativeCrf(level, threads=2)(problems * 3)
    assert [found.tobytes() for found in together] == [found.tobytes() for found in alone * 3]


def test_labels_that_are_nowhere_plausible_are_zeros() -> None:
    asked = arguments(4, plausible=0.2)
    asked["logits"][2] = -20
    found = infer(**asked)
    assert not found[2].any()
    assert np.allclose(found.sum(0), 1, atol=1e-5)
    rest = [0, 1, 3]
    others = arguments(logits=asked["logits"][rest], rgb=asked["rgb"])
    assert np.array_equal(found[rest], infer(**others))


def test_one_plausible_label_is_everywhere() -> None:
    asked = arguments(3, plausible=0.2)
    asked["logits"][1] = 20
    found = infer(**asked)
    assert (found[1] == 1).all()
    assert not found[[0, 2]].any()


@pytest.mark.parametrize("labels", [2, 3, 9])
@pytest.mark.parametrize("size", [1e30, 3e38])
def test_huge_logits_are_certain(labels: int, size: float) -> None:
    asked = arguments(labels)
    asked["logits"][:] = np.where(asked["logits"] > 0, size, -size)
    found = infer(**asked)
    assert np.isfinite(found).all()
    assert np.allclose(found.sum(0), 1, atol=1e-5)


@pytest.mark.parametrize("labels", [2, 3, 9])
def test_huge_weights_on_a_coarse_grid(labels: int) -> None:
    """Pixels off the grid may be far from all of its vertices: they hear nothing, and not infinity times nothing."""
    huge = np.full(labels, 1e30, np.float32)
    found = infer(**arguments(labels, colour_rgb=1.0, colour_weights=huge, stride=4, sparse=np.inf, sure=np.inf))
    assert np.isfinite(found).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("labels", [1, 2, 3])
def test_logits_that_are_not_finite(labels: int, bad: float) -> None:
    asked = arguments(labels)
    asked["logits"][-1, -1, -1] = bad
    assert native is not None
    assert not native.infer_crf(**asked)


F32 = np.float32


@pytest.mark.parametrize(
    "changed",
    [
        {"logits": np.zeros((3, 12, 17))},
        {"logits": np.zeros((3, 12, 17), ">f4")},
        {"logits": np.zeros((3, 17, 12), F32).transpose(0, 2, 1)},
        {"logits": np.zeros((3, 12, 34), F32)[..., ::2]},
        {"rgb": np.zeros((12, 17, 3), np.int8)},
        {"rgb": np.zeros((12, 17, 6), np.uint8)[..., ::2]},
        {"probs": np.zeros((3, 12, 17))},
        {"probs": np.zeros((3, 17, 12), F32).transpose(0, 2, 1)},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_other_numbers_or_orders_are_refused(changed: dict[str, Any]) -> None:
    assert native is not None
    with pytest.raises(TypeError, match="incompatible function arguments"):
        native.infer_crf(**arguments(**changed))


@pytest.mark.parametrize(
    "changed",
    [
        {"logits": np.zeros((3, 204), F32)},
        {"logits": np.zeros((0, 12, 17), F32)},
        {"logits": np.zeros((2, 12, 17), F32)},
        {"rgb": np.zeros((17, 12, 3), np.uint8)},
        {"rgb": np.zeros((12, 17, 4), np.uint8)},
        {"rgb": np.zeros((12, 17), np.uint8)},
        {"smooth_weights": np.ones(2, F32)},
        {"colour_weights": np.ones(4, F32)},
        {"probs": np.zeros((3, 17, 12), F32)},
        {"probs": np.zeros(3 * 12 * 17, F32)},
        {"smooth_sigma": 0.0},
        {"smooth_sigma": np.nan},
        {"colour_sigma": -1.0},
        {"colour_sigma": 1e-30},
        {"colour_rgb": 0.0},
        {"colour_rgb": np.nan},
        {"steps": -1},
        {"stride": 0},
        {"stride": 2**31 - 1},
        {"plausible": np.nan},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_does_not_fit_is_refused(changed: dict[str, Any]) -> None:
    assert native is not None
    with pytest.raises(ValueError, match=r"fit|narrow|range"):
        native.infer_crf(**arguments(**changed))


def test_read_only_probabilities_are_refused() -> None:
    asked = arguments()
    asked["probs"].flags.writeable = False
    assert native is not None
    with pytest.raises(ValueError, match="writeable"):
        native.infer_crf(**asked)
    assert not asked["probs"].any()
