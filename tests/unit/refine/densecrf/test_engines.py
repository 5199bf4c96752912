"""Every dense CRF engine against exact sums and pydensecrf, and in every corner of its input.

Exact sums are not what an engine should give to the last digit: the permutohedral lattice that all share, pydensecrf
too, is an approximation. So an engine must be no farther from exact sums than pydensecrf is, but for a small margin.
"""

from __future__ import annotations

import dataclasses
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.crf_engines import Contender
from tests.helpers.crf_engines import ENGINES, EXACT_ENGINES, cat, cat_logits, problem, soft_logits
from tests.helpers.mean_field import infer_exactly
from weakseg.errors import CrfInputError
from weakseg.options import CrfEngineName
from weakseg.refine.densecrf.problem import CrfEngine, CrfProblem, Kernels
from weakseg.refine.densecrf.reference import infer_with_pydensecrf

SIZES = [(1, 1), (1, 7), (7, 1), (2, 3), (3, 2), (5, 4), (20, 33), (33, 20), (51, 97), (110, 70)]
CUSTOMARY = Kernels(3, 3, 80, 13, 10)
EQUAL = {CrfEngineName.EXACT: 0.995, CrfEngineName.FAST: 0.98, CrfEngineName.FASTEST: 0.97}  # on small photos
OFF = {CrfEngineName.EXACT: 0.005, CrfEngineName.FAST: 0.01, CrfEngineName.FASTEST: 0.02}


@pytest.fixture(params=ENGINES, ids=lambda one: one.name)
def tested(request: pytest.FixtureRequest) -> Contender:
    return request.param


@pytest.fixture
def engine(tested: Contender) -> CrfEngine:
    return tested.open()


def assert_probabilities(probs: np.ndarray, of: CrfProblem) -> None:
    assert probs.dtype == np.float32
    assert probs.shape == of.logits.shape
    assert np.isfinite(probs).all()
    assert (probs >= 0).all()
    assert np.allclose(probs.sum(0), 1, atol=1e-5)


def equal_labels(one: np.ndarray, other: np.ndarray) -> float:
    return float((one.argmax(0) == other.argmax(0)).mean())


@pytest.mark.parametrize("labels", [2, 3])
@pytest.mark.parametrize(
    "kernels",
    [Kernels(1.5, 3, 8, 20, 0), Kernels(1.5, 0, 8, 20, 5), Kernels(1.5, 3, 8, 20, 5)],
    ids=["smoothness", "appearance", "both"],
)
def test_no_farther_from_exact_sums_than_pydensecrf(
    tested: Contender, engine: CrfEngine, labels: int, kernels: Kernels
) -> None:
    """On these 24 x 36 pixels pydensecrf is 0.001 (smoothness), 0.008 (appearance) and 0.009 (both) off on average.
    Engines that compute the smoothness kernel without a lattice are nearer."""
    asked = problem(labels, kernels=kernels)
    exact, reference, found = (infer([asked])[0] for infer in (infer_exactly, infer_with_pydensecrf, engine))
    assert_probabilities(found, asked)
    assert np.abs(found - exact).mean() < np.abs(reference - exact).mean() + 0.001
    assert equal_labels(found, exact) > equal_labels(reference, exact) - 0.005
    if not kernels.colour_weight:
        assert np.abs(found - exact).max() < 1e-3


def test_kernels_so_narrow_that_a_pixel_hears_only_itself_are_exact(engine: CrfEngine) -> None:
    asked = problem(3, kernels=Kernels(1e-9, 3, 1e-9, 1e-9, 5))
    assert np.abs(engine([asked])[0] - infer_exactly([asked])[0]).max() < 1e-3


def test_one_step_of_one_pixel_by_hand(engine: CrfEngine) -> None:
    """Its own message alone: logits 1 and 0, p = e / (1 + e); both kernels count fully, 3 + 5 = 8 times p."""
    logits = np.array([1, 0], np.float32).reshape(2, 1, 1)  # (2, 1, 1)
    [found] = engine([CrfProblem(logits, np.zeros((1, 1, 3), np.uint8), Kernels(2, 3, 30, 8, 5), 1)])
    p = np.e / (1 + np.e)
    expected = 1 / (1 + np.exp(-(1 + 8 * (2 * p - 1))))
    assert found[:, 0, 0] == pytest.approx([expected, 1 - expected], abs=1e-5)


@pytest.mark.parametrize("labels", [2, 3, 21])
@pytest.mark.parametrize("hw", [(96, 144), (175, 131)], ids=str)
def test_agrees_with_pydensecrf(tested: Contender, engine: CrfEngine, labels: int, hw: tuple[int, int]) -> None:
    asked = CrfProblem(cat_logits(labels, hw), cat(hw), CUSTOMARY, 10)
    [found], [expected] = engine([asked]), infer_with_pydensecrf([asked])
    assert_probabilities(found, asked)
    assert equal_labels(found, expected) >= EQUAL[tested.level]
    assert np.abs(found - expected).mean() <= OFF[tested.level]


@pytest.mark.parametrize("hw", SIZES, ids=str)
@pytest.mark.parametrize("labels", [1, 2, 5])
def test_every_size(tested: Contender, engine: CrfEngine, labels: int, hw: tuple[int, int]) -> None:
    asked = problem(labels, hw)
    [found], [reference] = engine([asked]), infer_with_pydensecrf([asked])
    assert_probabilities(found, asked)
    if hw[0] * hw[1] < 1000:
        [exact] = infer_exactly([asked])
        assert np.abs(found - exact).mean() < np.abs(reference - exact).mean() + 0.005
    else:
        assert np.abs(found - reference).mean() < 0.01
    if labels == 1:
        assert (found == 1).all()


@pytest.mark.parametrize("labels", [1, 2, 3, 5, 21])
def test_every_number_of_labels_and_no_step_is_a_softmax(engine: CrfEngine, labels: int) -> None:
    asked = problem(labels, steps=0)
    grown = np.exp(asked.logits.astype(float))
    assert np.allclose(engine([asked])[0], grown / grown.sum(0), atol=1e-5)


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_few_steps(engine: CrfEngine, steps: int) -> None:
    asked = problem(3, steps=steps)
    assert np.abs(engine([asked])[0] - infer_with_pydensecrf([asked])[0]).mean() < 0.005


@pytest.mark.parametrize(
    "weights", [((0.5, 6.0), 5.0), (3.0, (1.0, 9.0)), ((0.0, 3.0), (8.0, 0.0)), ((2.0, 2.0), (4.0, 4.0))], ids=str
)
@pytest.mark.parametrize("labels", [2, 4])
def test_weights_per_label(engine: CrfEngine, labels: int, weights: tuple) -> None:
    smooth, colour = (one if isinstance(one, float) else one * (labels // 2) for one in weights)
    asked = problem(labels, kernels=Kernels(1.5, smooth, 8, 20, colour))
    [found], [expected] = engine([asked]), infer_with_pydensecrf([asked])
    assert_probabilities(found, asked)
    assert np.abs(found - expected).mean() < 0.005
    alike = dataclasses.replace(asked, kernels=Kernels(1.5, 3.0, 8, 20, 5.0))
    assert np.abs(found - engine([alike])[0]).max() > 0.05, "the weights did something"


@pytest.mark.parametrize("labels", [2, 5])
@pytest.mark.parametrize(
    "kernels",
    [
        Kernels(1e-9, 3, 1e-9, 1e-9, 5),
        Kernels(1e-9, 100, 1e6, 1e-9, 100),
        Kernels(1e6, 3, 1e6, 1e6, 5),
        Kernels(1e6, 100, 1e-9, 1e6, 100),
        Kernels(2, 0, 9, 8, 0),
        Kernels(2, 100, 9, 8, 0),
        Kernels(2, 0, 9, 8, 100),
        Kernels(1e-30, 1, 1e-30, 1e-30, 1),
        Kernels(1e30, 1, 1e30, 1e30, 1),
    ],
    ids=str,
)
def test_extreme_kernels(engine: CrfEngine, labels: int, kernels: Kernels) -> None:
    asked = problem(labels, kernels=kernels)
    [found] = engine([asked])
    assert_probabilities(found, asked)
    assert np.abs(found - infer_exactly([asked])[0]).mean() < 0.03


@pytest.mark.parametrize("labels", [2, 3])
def test_extreme_logits(engine: CrfEngine, labels: int) -> None:
    """A certainty of 1e6 outweighs every kernel, and its neighbours hear it as loudly as any other certainty."""
    asked = problem(labels)
    asked.logits[0, :12] = 1e6
    asked.logits[1, 12:, :5] = -1e6
    [found], [expected] = engine([asked]), infer_with_pydensecrf([asked])
    assert_probabilities(found, asked)
    assert (found[0, :12] == 1).all()
    assert (found[1, 12:, :5] < 1e-6).all()
    assert np.abs(found - expected).mean() < 0.005


def test_a_large_shift_of_all_logits_changes_nothing_but_their_rounding(engine: CrfEngine) -> None:
    asked = problem(3)
    shifted = dataclasses.replace(asked, logits=asked.logits + np.float32(100))
    assert np.abs(engine([asked])[0] - engine([shifted])[0]).max() < 1e-3


def test_one_colour_and_pure_noise(engine: CrfEngine) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (40, 61, 3), np.uint8)
    for rgb in (np.full_like(noise, 255), np.zeros_like(noise), noise):
        asked = CrfProblem(soft_logits(2, (40, 61)), rgb, CUSTOMARY, 5)
        [found], [expected] = engine([asked]), infer_with_pydensecrf([asked])
        assert_probabilities(found, asked)
        assert np.abs(found - expected).mean() < 0.01


def mixed_batch() -> list[CrfProblem]:
    """Sizes, labels, kernels, weights and steps differ; some agree."""
    return [
        problem(2, (24, 36)),
        problem(3, (24, 36)),
        problem(2, (36, 24)),
        problem(1, (5, 9)),
        problem(2, (24, 36), Kernels(2, 3, 20, 9, 5)),
        problem(3, (70, 110), CUSTOMARY, 3),
        problem(2, (110, 70), CUSTOMARY, 3),
        problem(2, (130, 100), CUSTOMARY, 3),
        problem(2, (1, 1), CUSTOMARY, 3),
        dataclasses.replace(problem(2, (24, 36)), logits=soft_logits(2, (24, 36), seed=5)),
        problem(3, (24, 36), Kernels(1.5, (1.0, 2.0, 3.0), 8, 20, 5)),
        problem(2, (24, 36), steps=0),
    ]


def test_a_batch_gives_what_each_gives_alone(engine: CrfEngine) -> None:
    together = engine(mixed_batch())
    alone = [engine([one])[0] for one in mixed_batch()]
    assert len(together) == len(alone)
    for one, other in zip(together, alone, strict=True):
        assert one.shape == other.shape
        assert np.abs(one - other).max() < 1e-4


def test_no_problem_is_no_answer(engine: CrfEngine) -> None:
    assert engine([]) == []


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("labels", [1, 2, 3])
def test_logits_that_are_not_finite_are_refused(engine: CrfEngine, labels: int, bad: float) -> None:
    asked = problem(labels)
    asked.logits[-1, 23, 35] = bad
    with pytest.raises(CrfInputError):
        engine([problem(2), asked])


def test_inputs_are_untouched_whatever_their_layout(engine: CrfEngine) -> None:
    logits, rgb = soft_logits(3, (24, 36)), cat((24, 36))
    expected = engine([CrfProblem(logits.copy(), rgb.copy(), CUSTOMARY, 3)])[0]
    logits.setflags(write=False)
    rgb.setflags(write=False)
    mirrored = np.ascontiguousarray(logits[..., ::-1])[..., ::-1], np.ascontiguousarray(rgb[::-1])[::-1]
    channels_last = np.ascontiguousarray(logits.transpose(1, 2, 0)).transpose(2, 0, 1)
    planes = np.ascontiguousarray(rgb.transpose(2, 0, 1)).transpose(1, 2, 0)
    for layout in ((logits, rgb), mirrored, (channels_last, planes)):
        before = [array.copy() for array in layout]
        assert np.array_equal(engine([CrfProblem(*layout, CUSTOMARY, 3)])[0], expected)
        assert all(np.array_equal(*pair) for pair in zip(before, layout, strict=True))


def test_results_share_no_memory(engine: CrfEngine) -> None:
    asked = problem(2)
    first, second = engine([asked, asked])
    first[:] = 5
    assert_probabilities(second, asked)
    assert not np.shares_memory(first, asked.logits)


def test_equal_bytes_each_time(engine: CrfEngine) -> None:
    first, second = (engine(mixed_batch()) for _ in range(2))
    assert all(np.array_equal(*pair) for pair in zip(first, second, strict=True))


def test_equal_bytes_from_four_threads_at_once(engine: CrfEngine) -> None:
    expected = engine(mixed_batch())
    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(engine, [mixed_batch() for _ in range(4)]):
            assert all(np.array_equal(*pair) for pair in zip(found, expected, strict=True))


@st.composite
def random_problems(draw: st.DrawFn) -> CrfProblem:
    """Photos of up to 40 x 40 pixels. Kernels from narrow to wide, but not so narrow that pydensecrf widens them."""
    hw = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    labels = draw(st.sampled_from([1, 2, 3, 5]))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    noise = rng.integers(0, 256, (*hw, 3)) - 128
    rgb = np.clip(cat(hw) + draw(st.sampled_from([0, 0.1, 1])) * noise, 0, 255).astype(np.uint8)
    logits = soft_logits(labels, hw, seed=int(rng.integers(100))) * np.float32(draw(st.sampled_from([0.1, 1, 10])))
    kernels = Kernels(
        draw(st.floats(0.5, 50)),
        draw(st.sampled_from([0, 1, 3, 10])),
        draw(st.floats(1, 200)),
        draw(st.floats(2, 100)),
        draw(st.sampled_from([0, 1, 5, 10])),
    )
    return CrfProblem(logits, rgb, kernels, draw(st.integers(0, 8)))


@pytest.mark.parametrize("tested", EXACT_ENGINES, ids=lambda one: one.name)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(asked=random_problems())
def test_whatever_is_asked_the_answer_is_pydensecrfs(tested: Contender, asked: CrfProblem) -> None:
    [found], [expected] = tested.open()([asked]), infer_with_pydensecrf([asked])
    assert_probabilities(found, asked)
    assert np.abs(found - expected).mean() < 0.02


def test_without_pydensecrf_the_others_work(tested: Contender, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pydensecrf", "pydensecrf.densecrf"):
        monkeypatch.setitem(sys.modules, name, None)
    asked = problem(2)
    assert_probabilities(tested.open()([asked])[0], asked)
