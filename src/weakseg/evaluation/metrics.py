"""Counts of pixels to IoU, accuracy, precision, recall and F1: the paper's section 5.4, equations (4) to (8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from weakseg.errors import ShapeMismatchError
from weakseg.types import Mask

Counts: TypeAlias = NDArray[np.int64]  # (N, 4): TP, FP, FN, TN of each class

DIGITS = 6  # of every fraction in a result


@dataclass(frozen=True, slots=True)
class Scores:
    """One evaluation's numbers, fractions in [0, 1]; None where a class, or every class, has no true pixel."""

    miou: float | None  # equation (6)
    fwiou: float | None  # equation (7)
    macc: float | None  # equation (8)
    precision: float | None  # this and the next two: means over classes ("macro"), as miou
    recall: float | None
    f1: float | None
    per_class: dict[str, dict[str, float] | None]  # iou, acc, precision, recall, f1 of each class

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class MaskScores:
    """The four metrics of Long, Shelhamer & Darrell, "Fully Convolutional Networks for Semantic Segmentation" (CVPR
    2015, section 5), from one confusion matrix; fractions in [0, 1], None where there is no pixel.

    Differs from the paper: a class without a true pixel is in no mean, even if pixels were given to it.
    """

    pixel_accuracy: float | None  # sum_i n_ii / sum_i t_i
    mean_accuracy: float | None  # mean over classes of n_ii / t_i, which is their recall
    mean_iu: float | None  # mean over classes of n_ii / (t_i + sum_j n_ji - n_ii)
    fw_iu: float | None  # the same, weighted by t_i

    def as_dict(self) -> dict[str, float | None]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def score_masks(confusion: NDArray[np.int64]) -> MaskScores:
    """The four metrics. Args: confusion: (N, N), rows true; row 0 is background."""
    counts = one_against_rest(confusion)
    scores = score(counts, [str(index) for index in range(len(confusion))])
    pixels = confusion.sum()
    accuracy = round(float(np.trace(confusion) / pixels), DIGITS) if pixels else None
    return MaskScores(accuracy, scores.recall, scores.miou, scores.fwiou)


def fold_others(confusion: NDArray[np.int64], kept: Sequence[int], *, void: bool) -> NDArray[np.int64]:
    """A confusion matrix over fewer classes: pixels that were given to another class were given to the background.

    Args:
        confusion: (N, N), rows true; class 0 is background.
        kept: Class numbers beside 0.
        void: True pixels of other classes count nowhere; otherwise they are background.
    Returns:
        (1 + len(kept), 1 + len(kept)).
    """
    home = np.zeros(len(confusion), np.int64)  # (N,): where each class goes
    home[list(kept)] = np.arange(1, len(kept) + 1)
    folded = np.zeros((len(kept) + 1, len(kept) + 1), np.int64)
    for true, row in enumerate(confusion):
        if not void or true == 0 or home[true]:
            np.add.at(folded[home[true]], home, row)
    return folded


def count_pixels(truth: Mask, predicted: Mask, valid: Mask) -> list[int]:
    """TP, FP, FN, TN of one class in one photo.

    Args:
        truth, predicted: (H, W) bool.
        valid: (H, W) bool; pixels outside (VOC's void) count nowhere.
    Raises:
        ShapeMismatchError: the three differ in shape.
    """
    if not truth.shape == predicted.shape == valid.shape:
        raise ShapeMismatchError(f"truth {truth.shape}, predicted {predicted.shape} and valid {valid.shape} differ")
    true, predicted_valid = truth & valid, predicted & valid
    hits = int(np.count_nonzero(true & predicted_valid))
    false_alarms = int(np.count_nonzero(predicted_valid)) - hits
    misses = int(np.count_nonzero(true)) - hits
    return [hits, false_alarms, misses, int(np.count_nonzero(valid)) - hits - false_alarms - misses]


def confuse(truth: NDArray[np.uint8], predicted: NDArray[np.uint8], classes: int, void: int) -> NDArray[np.int64]:
    """Confusion matrix of one photo.

    Args:
        truth: (H, W) uint8 in [0, classes) or ``void``.
        predicted: (H, W) uint8 in [0, classes).
    Returns:
        (classes, classes) int64: rows are true classes, columns predicted ones.
    Raises:
        ShapeMismatchError: truth and predicted differ in shape.
    """
    if truth.shape != predicted.shape:
        raise ShapeMismatchError(f"truth {truth.shape} and predicted {predicted.shape} differ")
    valid = truth != void
    pairs = truth[valid].astype(np.int64) * classes + predicted[valid]  # (pixels,)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes).astype(np.int64)


def one_against_rest(confusion: NDArray[np.int64]) -> Counts:
    """Each class against all others. Args: (C, C), rows true. Returns: (C, 4) TP, FP, FN, TN."""
    hits = np.diag(confusion)
    false_alarms, misses = confusion.sum(0) - hits, confusion.sum(1) - hits
    return np.stack([hits, false_alarms, misses, confusion.sum() - hits - false_alarms - misses], 1)  # (C, 4)


def score(counts: Counts, names: Sequence[str]) -> Scores:
    """Equations (4) to (8), and precision, recall and F1 of each class and as means over classes.

    A class without any true pixel is left out of every mean. Where a class has true pixels but nothing was predicted,
    its precision is 0.

    Args:
        counts: (N, 4) int64 of the whole data set: TP, FP, FN, TN.
        names: N class names.
    """
    seen = counts[:, 0] + counts[:, 2] > 0  # (N,) has true pixels
    ratios = _ratios(counts[seen])
    true_pixels = counts[seen, 0] + counts[seen, 2]
    rows = iter(np.stack(list(ratios.values()), 1).tolist())
    per_class = {
        name: dict(zip(ratios, (round(value, DIGITS) for value in next(rows)), strict=True)) if has_pixels else None
        for name, has_pixels in zip(names, seen, strict=True)
    }
    means = {name: _mean(values) for name, values in ratios.items()}
    return Scores(
        miou=means["iou"],
        fwiou=_mean(ratios["iou"], true_pixels),
        macc=means["acc"],
        precision=means["precision"],
        recall=means["recall"],
        f1=means["f1"],
        per_class=per_class,
    )


def _ratios(counts: Counts) -> dict[str, NDArray[np.float64]]:
    """(N,) each, for classes that have true pixels."""
    hits, false_alarms, misses, rest = counts.T.astype(np.float64)
    return {
        "iou": hits / (hits + false_alarms + misses),  # equation (4)
        "acc": (hits + rest) / (hits + false_alarms + misses + rest),  # equation (5)
        "precision": hits / np.maximum(hits + false_alarms, 1),
        "recall": hits / (hits + misses),
        "f1": 2 * hits / (2 * hits + false_alarms + misses),
    }


def _mean(values: NDArray[np.float64], weights: NDArray[np.int64] | None = None) -> float | None:
    return round(float(np.average(values, weights=weights)), DIGITS) if len(values) else None
