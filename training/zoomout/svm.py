"""A linear SVM for each class from image labels alone, after mi-SVM (Andrews, Tsochantaridis & Hofmann, NIPS 2002).

A photo is a bag of superpixels. All superpixels of a photo without the class are negative; of one with the class, at
least one is positive, and which ones is what the rounds find out: train, relabel by the scores, train again. Differs
from the paper:

- Of a photo with the class, those superpixels stay positive that score near the photo's highest, instead of above 0: an
  SVM in thousands of dimensions tells the photos themselves apart, so that by sign hardly a label would ever change.
- A fixed number of rounds instead of waiting until no label changes.
- Classes are weighted so that the many negatives do not outweigh the few positives, and the SVM is trained by
  stochastic gradient descent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import SGDClassifier

from weakseg.errors import ShapeMismatchError

Vectors = NDArray[np.float32]  # (N, D)

EPOCHS = 5
NEAR_BEST = 0.7  # of the way from a photo's lowest score to its highest: superpixels from here on stay positive


@dataclass(frozen=True, slots=True)
class LinearScorer:
    """``scores = features weight.T + bias``; the higher, the more of the class."""

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
        penalty: Weight of the squared length of the SVM's normal beside its mean loss.
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
        svm = SGDClassifier(
            loss="squared_hinge", alpha=penalty, max_iter=EPOCHS, tol=None, average=True, class_weight="balanced",
            random_state=0,
        )  # fmt: skip
        svm.fit(features, positive)
        positive = relabel(svm.decision_function(features), bags, tags)
        advance()
    return svm.coef_[0].astype(np.float32), float(svm.intercept_[0])


def relabel(scores: NDArray[np.floating], bags: NDArray[np.int64], tags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which superpixels are positive: those near the highest score of a photo that shows the class.

    Args:
        scores: (N,).
        bags: (N,) in [0, P).
        tags: (P,) which photos show the class.
    """
    best, worst = np.full(len(tags), -np.inf), np.full(len(tags), np.inf)  # (P,)
    np.maximum.at(best, bags, scores)
    np.minimum.at(worst, bags, scores)
    bound = (1 - NEAR_BEST) * worst[bags] + NEAR_BEST * best[bags]  # (N,)
    return tags[bags] & ((scores >= bound) | (scores == best[bags]))
