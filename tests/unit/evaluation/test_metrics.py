"""Metrics against torchmetrics, and against numbers worked out by hand."""

import numpy as np
import pytest
import torch
from torchmetrics.classification import (
    BinaryAccuracy,
    BinaryF1Score,
    BinaryJaccardIndex,
    BinaryPrecision,
    BinaryRecall,
    MulticlassAccuracy,
    MulticlassConfusionMatrix,
    MulticlassF1Score,
    MulticlassJaccardIndex,
    MulticlassPrecision,
    MulticlassRecall,
)

from weakseg.errors import ShapeMismatchError
from weakseg.evaluation.metrics import confuse, count_pixels, fold_others, one_against_rest, score, score_masks

CLASSES, VOID = 5, 255


@pytest.fixture
def maps() -> tuple[np.ndarray, np.ndarray]:
    """Truth with void, and a prediction that agrees at about half of the pixels; 37 x 53."""
    random = np.random.default_rng(0)
    truth = random.integers(0, CLASSES, (37, 53)).astype(np.uint8)
    predicted = np.where(random.random(truth.shape) < 0.5, truth, random.integers(0, CLASSES, truth.shape))
    truth[random.random(truth.shape) < 0.1] = VOID
    return truth, predicted.astype(np.uint8)


def test_counts_by_hand() -> None:
    truth = np.array([[1, 1, 0], [0, 1, 0]], bool)
    predicted = np.array([[1, 0, 1], [0, 1, 1]], bool)
    valid = np.array([[1, 1, 1], [1, 0, 1]], bool)  # one of the two hits is void
    assert count_pixels(truth, predicted, valid) == [1, 2, 1, 1]


def test_equations_4_to_8_by_hand() -> None:
    counts = np.array([[6, 2, 2, 10], [1, 0, 1, 18], [0, 3, 0, 17]], np.int64)  # the last class has no true pixel
    scores = score(counts, ["cat", "dog", "cow"])
    # IoU: 6/10, 1/2. Acc: 16/20, 19/20. True pixels: 8, 2.
    assert scores.miou == pytest.approx((0.6 + 0.5) / 2)
    assert scores.fwiou == pytest.approx((8 * 0.6 + 2 * 0.5) / 10)
    assert scores.macc == pytest.approx((0.8 + 0.95) / 2)
    assert scores.precision == pytest.approx((6 / 8 + 1) / 2)
    assert scores.recall == pytest.approx((6 / 8 + 1 / 2) / 2)
    assert scores.f1 == pytest.approx((12 / 16 + 2 / 3) / 2, abs=1e-6)
    assert scores.per_class["cow"] is None
    assert scores.per_class["dog"] == {"iou": 0.5, "acc": 0.95, "precision": 1.0, "recall": 0.5, "f1": 0.666667}


def test_nothing_predicted_is_precision_zero() -> None:
    scores = score(np.array([[0, 0, 4, 8]], np.int64), ["cat"])
    assert (scores.miou, scores.precision, scores.recall, scores.f1) == (0.0, 0.0, 0.0, 0.0)


def test_no_true_pixel_at_all_is_no_number() -> None:
    scores = score(np.array([[0, 1, 0, 8]], np.int64), ["cat"])
    assert (scores.miou, scores.fwiou, scores.macc, scores.f1) == (None, None, None, None)
    assert scores.per_class == {"cat": None}


def test_binary_counts_agree_with_torchmetrics(maps: tuple[np.ndarray, np.ndarray]) -> None:
    truth, predicted = maps
    counts = np.array([count_pixels(truth == 2, predicted == 2, truth != VOID)], np.int64)
    found = score(counts, ["two"]).per_class["two"]
    assert found is not None
    valid = truth != VOID
    wanted = {
        "iou": BinaryJaccardIndex(),
        "acc": BinaryAccuracy(),
        "precision": BinaryPrecision(),
        "recall": BinaryRecall(),
        "f1": BinaryF1Score(),
    }
    for name, metric in wanted.items():
        oracle = metric(torch.from_numpy(predicted[valid] == 2).int(), torch.from_numpy(truth[valid] == 2).int())
        assert found[name] == pytest.approx(float(oracle), abs=1e-6), name


def test_multiclass_agrees_with_torchmetrics(maps: tuple[np.ndarray, np.ndarray]) -> None:
    truth, predicted = maps
    tensors = torch.from_numpy(predicted).int(), torch.from_numpy(truth).int()
    confusion = confuse(truth, predicted, CLASSES, VOID)
    oracle = MulticlassConfusionMatrix(CLASSES, ignore_index=VOID)(*tensors)
    np.testing.assert_array_equal(confusion, oracle.numpy())
    scores = score(one_against_rest(confusion), [str(index) for index in range(CLASSES)])
    wanted = {
        "miou": MulticlassJaccardIndex(CLASSES, average="macro", ignore_index=VOID),
        "fwiou": MulticlassJaccardIndex(CLASSES, average="weighted", ignore_index=VOID),
        "precision": MulticlassPrecision(CLASSES, average="macro", ignore_index=VOID),
        "recall": MulticlassRecall(CLASSES, average="macro", ignore_index=VOID),
        "f1": MulticlassF1Score(CLASSES, average="macro", ignore_index=VOID),
    }
    for name, metric in wanted.items():
        assert getattr(scores, name) == pytest.approx(float(metric(*tensors)), abs=1e-6), name


def test_one_against_rest_is_the_binary_count(maps: tuple[np.ndarray, np.ndarray]) -> None:
    truth, predicted = maps
    rows = one_against_rest(confuse(truth, predicted, CLASSES, VOID))
    for value in range(CLASSES):
        assert rows[value].tolist() == count_pixels(truth == value, predicted == value, truth != VOID)


def test_shapes_that_differ_are_refused() -> None:
    flat, upright = np.zeros((2, 3), bool), np.zeros((3, 2), bool)
    with pytest.raises(ShapeMismatchError):
        count_pixels(flat, upright, flat)
    with pytest.raises(ShapeMismatchError):
        confuse(flat.astype(np.uint8), upright.astype(np.uint8), 2, VOID)


def test_the_four_metrics_by_hand() -> None:
    """20 pixels: 12 of background (2 called cat), 8 of cat (3 missed), none of dog (one pixel called so)."""
    confusion = np.array([[9, 2, 1], [3, 5, 0], [0, 0, 0]], np.int64)
    assert score_masks(confusion).as_dict() == {
        "pixel_accuracy": 14 / 20,
        "mean_accuracy": pytest.approx((9 / 12 + 5 / 8) / 2),
        "mean_iu": pytest.approx((9 / 15 + 5 / 10) / 2),
        "fw_iu": pytest.approx((12 * 9 / 15 + 8 * 5 / 10) / 20),
    }
    assert set(score_masks(np.zeros((3, 3), np.int64)).as_dict().values()) == {None}


def test_the_four_metrics_agree_with_torchmetrics(maps: tuple[np.ndarray, np.ndarray]) -> None:
    truth, predicted = maps
    tensors = torch.from_numpy(predicted).int(), torch.from_numpy(truth).int()
    scores = score_masks(confuse(truth, predicted, CLASSES, VOID)).as_dict()
    wanted = {
        "pixel_accuracy": MulticlassAccuracy(CLASSES, average="micro", ignore_index=VOID),
        "mean_accuracy": MulticlassAccuracy(CLASSES, average="macro", ignore_index=VOID),
        "mean_iu": MulticlassJaccardIndex(CLASSES, average="macro", ignore_index=VOID),
        "fw_iu": MulticlassJaccardIndex(CLASSES, average="weighted", ignore_index=VOID),
    }
    for name, metric in wanted.items():
        assert scores[name] == pytest.approx(float(metric(*tensors)), abs=1e-6), name


@pytest.mark.parametrize("void", [False, True])
def test_fewer_classes_are_a_confusion_of_other_maps(maps: tuple[np.ndarray, np.ndarray], void: bool) -> None:
    """Classes 3 and 1 are kept, in this order."""
    truth, predicted = maps
    lookup = np.array([0, 2, 0, 1, 0], np.uint8)
    translated = np.where(truth == VOID, VOID, lookup[truth % CLASSES]).astype(np.uint8)
    if void:
        translated[(truth == 2) | (truth == 4)] = VOID
    expected = confuse(translated, lookup[predicted], 3, VOID)
    np.testing.assert_array_equal(fold_others(confuse(truth, predicted, CLASSES, VOID), [3, 1], void=void), expected)
