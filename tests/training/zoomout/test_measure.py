import numpy as np
import pytest

from training.zoomout.combine import Cut, Way
from training.zoomout.measure import (
    KNOWN,
    PREDICTED,
    THRESHOLDS,
    VALUES,
    Case,
    Choice,
    choose_crf,
    choose_threshold,
    measure,
    sweep,
)
from training.zoomout.stages import Look
from weakseg.evaluation.metrics import confuse
from weakseg.voc import VOID

CLASSES = ("cat", "dog")
CAT, DOG = 8, 12


def make_case(scores: list[list[float]], shown: tuple[int, ...], truth_of: dict[int, int]) -> Case:
    """20 x 30 pixels, three superpixels of ten columns each; ``truth_of``: superpixel to mask value."""
    superpixels = np.repeat(np.arange(3), 10)[None].repeat(20, axis=0).astype(np.int32)  # (20, 30)
    truth = np.zeros((20, 30), np.uint8)
    for index, value in truth_of.items():
        truth[superpixels == index] = value
    guided = np.ones((2, 4, 6), np.float32)
    look = Look(superpixels, np.array(scores, np.float32), guided, np.array([0, 1]))
    return Case(np.full((20, 30, 3), 128, np.uint8), truth, look, shown)


@pytest.fixture
def cases() -> list[Case]:
    return [
        make_case([[1, -1], [0.2, -1], [-1, -1]], (0,), {0: CAT}),  # looks like a cat: stretched 1, 0.6, 0
        make_case([[2, 0], [-1, 1], [-1, -3]], (1,), {1: DOG}),  # a dog that is taken for a cat
    ]


def test_a_sweep_is_every_threshold_at_once() -> None:
    rng = np.random.default_rng(0)
    truth = rng.choice([0, CAT, DOG, 15, VOID], (40, 60)).astype(np.uint8)
    maps = rng.random((2, 40, 60)).astype(np.float32)
    values = np.array([0, CAT, DOG], np.uint8)
    found = sweep(truth, maps, values)
    for index, threshold in enumerate(THRESHOLDS):
        predicted = np.where(maps.max(0) >= np.float32(threshold), values[maps.argmax(0) + 1], 0).astype(np.uint8)
        np.testing.assert_array_equal(found[index], confuse(truth, predicted, VALUES, VOID))


def test_scores_by_hand(cases: list[Case]) -> None:
    plain = Choice(Way.ZOF, Cut(0.7), 0.0)
    found = measure(cases, {"plain": plain}, CLASSES)["plain"]
    # Known tags: superpixel 0 of the first, superpixel 1 (stretched 1) and 0 (stretched 0.75) of the second.
    assert found[KNOWN]["per_class"]["cat"]["iou"] == 1
    assert found[KNOWN]["per_class"]["dog"]["iou"] == 0.5
    assert found[KNOWN]["per_class"]["background"]["iou"] == pytest.approx(3 / 4)
    # Predicted: the second is taken for a cat, whose superpixel 0 is background: cat 200 of 400, the dog is lost.
    assert found[PREDICTED]["per_class"]["cat"]["iou"] == 0.5
    assert found[PREDICTED]["per_class"]["dog"]["iou"] == 0
    assert found[PREDICTED]["miou"] == pytest.approx((0.5 + 0 + 3 / 5) / 3, abs=1e-6)


def test_the_best_threshold_is_chosen(cases: list[Case]) -> None:
    choice = choose_threshold(cases, (Way.ZOF,), CLASSES)
    assert choice.mean_iu == 1
    assert 0.75 < choice.cut.threshold <= 1 or choice.cut.threshold == max(THRESHOLDS)
    assert choice.cut.crf is None


def test_the_better_way_is_chosen(cases: list[Case]) -> None:
    misleading = [
        Case(
            case.rgb,
            case.truth,
            Look(case.look.superpixels, -case.look.scores, _point_at(case), case.look.named),
            case.shown,
        )
        for case in cases
    ]
    assert choose_threshold(misleading, (Way.ZOF, Way.GBP), CLASSES).way is Way.GBP


def _point_at(case: Case) -> np.ndarray:
    """Guided maps that are right: (2, 20, 30), high where the truth is an object."""
    return np.stack([(case.truth > 0).astype(np.float32)] * 2)


def test_a_photo_that_shows_no_class_is_all_background() -> None:
    case = make_case([[1, 0], [0, 0], [0, 0]], (), {})
    found = measure([case], {"plain": Choice(Way.ZOF, Cut(0.7), 0.0)}, CLASSES)["plain"]
    assert found[KNOWN]["per_class"]["background"]["iou"] == 1
    assert found[PREDICTED]["per_class"]["background"]["iou"] == pytest.approx(2 / 3, abs=1e-6)


def test_masks_are_compared_at_the_photos_own_size(cases: list[Case]) -> None:
    large = [Case(case.rgb, np.kron(case.truth, np.ones((3, 3), np.uint8)), case.look, case.shown) for case in cases]
    assert choose_threshold(large, (Way.ZOF,), CLASSES).mean_iu == 1
    plain = {"plain": Choice(Way.ZOF, Cut(0.8), 0.0)}
    assert measure(large, plain, CLASSES)["plain"][KNOWN]["miou"] == 1


def test_a_crf_is_chosen_near_the_threshold(cases: list[Case]) -> None:
    plain = Choice(Way.ZOF, Cut(0.8), 1.0)
    found = choose_crf(cases, plain, CLASSES)
    assert found.way is Way.ZOF
    assert found.cut.crf is not None
    assert abs(found.cut.threshold - 0.8) <= 0.1 + 1e-9
