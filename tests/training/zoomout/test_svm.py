import numpy as np
import pytest

from training.zoomout.svm import LinearScorer, relabel, train_mi_svm
from weakseg.errors import ShapeMismatchError


def make_bags(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """60 photos of 10 superpixels: in every photo noise; in one with class k, three superpixels lie along axis k."""
    tags = np.zeros((60, 2), bool)
    tags[:20, 0] = tags[20:40, 1] = True  # the last 20 show nothing
    bags = np.repeat(np.arange(60), 10)
    features = rng.normal(0, 0.2, (600, 4)).astype(np.float32)
    objects = np.zeros((600, 2), bool)
    for photo, shown in enumerate(tags):
        for k in np.flatnonzero(shown):
            features[photo * 10 : photo * 10 + 3, k] += 2
            objects[photo * 10 : photo * 10 + 3, k] = True
    return features, bags, tags, objects


def test_it_finds_the_superpixels_that_nobody_labelled() -> None:
    features, bags, tags, objects = make_bags(np.random.default_rng(0))
    steps = []
    scorer = train_mi_svm(features, bags, tags, penalty=0.01, rounds=3, advance=lambda: steps.append(1))
    for k in range(2):
        scores = scorer.score(features)[:, k]
        assert scores[objects[:, k]].min() > scores[~objects[:, k]].max(), "every object above everything else"
    assert len(steps) == 2 * 3


def test_near_the_best_of_a_photo_stays_positive() -> None:
    scores = np.array([0.0, 1.0, 0.75, 0.5, 9.0, -2.0, -1.0, -1.0])
    bags = np.array([0, 0, 0, 0, 1, 2, 2, 3])
    tags = np.array([True, False, True, True])
    # Photo 0: the bound is 0.7. Photo 1 does not show the class. Photo 2: the best stays, below 0 or not.
    assert relabel(scores, bags, tags).tolist() == [False, True, True, False, False, False, True, True]


def test_the_same_data_give_the_same_scorer() -> None:
    features, bags, tags, _ = make_bags(np.random.default_rng(2))
    one, other = (train_mi_svm(features, bags, tags, penalty=0.01, rounds=2) for _ in range(2))
    np.testing.assert_array_equal(one.weight, other.weight)


def test_scores_by_hand() -> None:
    scorer = LinearScorer(np.array([[1, 0], [0, 2], [1, 1]], np.float32), np.array([0, 1, -1], np.float32))
    assert scorer.score(np.array([[3, 4]], np.float32)).tolist() == [[3, 9, 6]]


def test_features_and_bags_must_be_as_many() -> None:
    with pytest.raises(ShapeMismatchError, match="3 feature vectors, but 2 bags"):
        train_mi_svm(np.zeros((3, 2), np.float32), np.zeros(2, int), np.ones((1, 1), bool), penalty=1, rounds=1)
