"""A linear SVM for each class from image labels alone: mi-SVM (Andrews, Tsochantaridis & Hofmann, NIPS 2002).

A photo is a bag of superpixels. All superpixels of a photo without the class are negative; of one with the class, at
least one is positive, and which ones is what the rounds find out: train, relabel by the sign of the score, train again.
Differs from the paper: a fixed number of rounds instead of waiting until no label changes, and classes are weighted so
that the many negatives do not outweigh the few positives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.svm import LinearSVC

from weakseg.errors import ShapeMismatchError

Vectors = NDArray[np.float32]  # (N, D)


@dataclass(frozen=True, slots=True)
class LinearScorer:
    """``scores = features weight.T + bias``; above 0 a superpixel is taken for the class."""

    weight: NDArray[np.float32]  # (K, D)
    bias: NDArray[np.float32]  # (K,)

    def score(self, features: Vectors) -> NDArray[np.float32]:
        """(N, D) to (N, K)."""
        return np.asarray(features @ self.weight.T + self.bias, np.float32)


def train_mi_svm(
    features: Vectors,
    bags: NDArray[np.int64],
    tags: NDArray[np.bool_],
    *,
    penalty: float,
    rounds: int,
    advance: Callable[[], None] = lambda: None,
) -> LinearScorer:
    """One SVM for each class.

    Args:
        features: (N, D) of all superpixels.
        bags: (N,) the photo of each, in [0, P).
        tags: (P, K) which classes each photo shows. Every class is shown by some and not by others.
        penalty: C of the SVM.
        rounds: Trainings for each class.
        advance: Called after each training.
    Raises:
        ShapeMismatchError: features and bags differ in N.
    """
    if len(features) != len(bags):
        raise ShapeMismatchError(f"{len(features)} feature vectors, but {len(bags)} bags")
    fitted = [_train_class(features, bags, tags[:, k], penalty, rounds, advance) for k in range(tags.shape[1])]
    weight, bias = zip(*fitted, strict=True)
    return LinearScorer(np.stack(weight), np.array(bias, np.float32))


def _train_class(
    features: Vectors,
    bags: NDArray[np.int64],
    tags: NDArray[np.bool_],
    penalty: float,
    rounds: int,
    advance: Callable[[], None],
) -> tuple[NDArray[np.float32], float]:
    positive = tags[bags]  # (N,) at first, every superpixel of a photo that shows the class
    for _ in range(rounds):
        svm = LinearSVC(C=penalty, class_weight="balanced", dual=True, random_state=0)
        svm.fit(features, positive)
        positive = relabel(svm.decision_function(features), bags, tags)
        advance()
    return svm.coef_[0].astype(np.float32), float(svm.intercept_[0])


def relabel(scores: NDArray[np.floating], bags: NDArray[np.int64], tags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which superpixels are positive: those of a photo with the class that score above 0, and its best one always.

    Args:
        scores: (N,).
        bags: (N,) in [0, P).
        tags: (P,) which photos show the class.
    """
    best = np.full(len(tags), -np.inf)  # (P,)
    np.maximum.at(best, bags, scores)
    return tags[bags] & ((scores > 0) | (scores == best[bags]))
