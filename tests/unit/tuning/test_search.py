import numpy as np
import pytest

from weakseg.tuning.grid import Axis, Point, key_of
from weakseg.tuning.search import Scoreboard, all_points, climb, cross_validate

AXES = (Axis("threshold", (1, 2, 3, 4, 5, 6)), Axis("confidence", (10, 20, 30, 40)), Axis("steps", (1, 3, 5, 10)))


class Hill:
    """A score with one top, and the points that were asked for."""

    def __init__(self, **top: float) -> None:
        self.top = top
        self.asked: set[str] = set()

    def score(self, point: Point) -> float:
        return 1 - sum(abs(point[name] - best) for name, best in self.top.items()) / 100

    def measure(self, points: list[Point]) -> list[float]:
        self.asked |= {key_of(point) for point in points}
        return [self.score(point) for point in points]


@pytest.mark.parametrize("start", [(1, 10), (6, 40), (5, 20), (2, 30)])
def test_it_reaches_the_top_from_anywhere(start: tuple[int, int]) -> None:
    hill = Hill(threshold=5, confidence=20)
    found = climb(AXES, {"threshold": start[0], "confidence": start[1], "steps": 10}, hill.measure, rounds=3)
    assert found == {"threshold": 5, "confidence": 20, "steps": 1}
    assert len(hill.asked) < len(all_points(AXES)) / 3


def test_a_slanted_ridge_takes_more_than_one_round() -> None:
    def measure(points: list[Point]) -> list[float]:
        return [-abs(p["threshold"] - p["confidence"] / 10) - 0.1 * abs(p["threshold"] - 4) for p in points]

    axes, start = AXES[:2], {"threshold": 1, "confidence": 10}
    assert climb(axes, start, measure, rounds=9) == start, "a ridge of this kind needs both at once"
    assert climb(axes, {"threshold": 3, "confidence": 40}, measure, rounds=1) == {"threshold": 4, "confidence": 40}


def test_fewer_steps_win_when_they_cost_next_to_nothing() -> None:
    costs = {1: 0.01, 3: 0.0009, 5: 0.0, 10: 0.0}
    start = {"threshold": 1, "confidence": 10, "steps": 10}
    found = climb(AXES, start, lambda points: [0.7 - costs[point["steps"]] for point in points], rounds=1)
    assert found["steps"] == 3


def test_one_value_per_axis_is_one_point() -> None:
    axes = (Axis("threshold", (3,)), Axis("steps", (5,)))
    hill = Hill(threshold=9)
    assert climb(axes, {"threshold": 3, "steps": 5}, hill.measure, rounds=3) == {"threshold": 3, "steps": 5}
    assert len(hill.asked) == 1


def board_of(counts: dict[float, list[list[int]]]) -> Scoreboard:
    """Threshold to TP, FP, FN, TN of one class in each photo."""
    points = {key_of({"threshold": t}): {"threshold": t} for t in counts}
    rows = [np.array(photos, np.int64)[:, None] for photos in counts.values()]  # (photos, 1, 4)
    return Scoreboard(("cat",), points, dict(zip(points, rows, strict=True)))


def test_each_fold_is_scored_with_what_is_best_on_the_others() -> None:
    # Photos 0 and 2 are one fold, 1 and 3 the other. On the first fold t = 1 is best, on the second t = 2.
    good, bad = [8, 2, 0, 90], [4, 2, 4, 90]  # IoU 0.8 and 0.4
    board = board_of({1: [good, bad, good, bad], 2: [bad, good, bad, good]})
    assert board.miou({"threshold": 1}) == pytest.approx(0.6)
    assert board.best() == {"threshold": 1}, "of equal ones the first"
    assert cross_validate(board, folds=2) == pytest.approx(0.4), "what the others choose is bad for each fold"
    same = board_of({1: [good] * 4, 2: [bad] * 4})
    assert cross_validate(same, folds=2) == cross_validate(same, folds=9) == pytest.approx(0.8)


def test_a_class_that_no_photo_shows_is_in_no_mean() -> None:
    board = board_of({1: [[8, 2, 0, 90]]})
    board.over = ("cat", "dog")
    board.counts = {key: np.concatenate([rows, np.zeros_like(rows)], 1) for key, rows in board.counts.items()}
    assert board.miou({"threshold": 1}) == pytest.approx(0.8)
    assert board.miou({"threshold": 1}, np.array([False])) == 0
