"""From class maps to class scores, by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from weakseg.errors import ModelError
from weakseg.models.aggregation import AGGREGATIONS, SHARPNESS, Average, LogSumExp, Maximum, build_aggregation

LN3 = math.log(3)
MAPS = torch.tensor([[[[0.0, 0.0, 0.0], [0.0, LN3, LN3]], [[-1.0, 2.0, 5.0], [-4.0, 1.0, 3.0]]]])  # (1, 2, 2, 3)


def test_average_and_maximum_by_hand() -> None:
    assert Average()(MAPS)[0].tolist() == pytest.approx([LN3 / 3, 1.0])
    assert Maximum()(MAPS)[0].tolist() == pytest.approx([LN3, 5.0])


@pytest.mark.parametrize(
    ("sharpness", "expected"),
    [
        (1.0, math.log(10 / 6)),  # (4 * 1 + 2 * 3) / 6
        (2.0, math.log(22 / 6) / 2),  # (4 * 1 + 2 * 9) / 6
        (0.5, 2 * math.log((4 + 2 * math.sqrt(3)) / 6)),
    ],
)
def test_log_sum_exp_by_hand(sharpness: float, expected: float) -> None:
    assert LogSumExp(sharpness)(MAPS)[0, 0].item() == pytest.approx(expected, rel=1e-6)


def test_log_sum_exp_lies_between_average_and_maximum_and_reaches_both() -> None:
    average, maximum = Average()(MAPS), Maximum()(MAPS)
    scores = [LogSumExp(sharpness)(MAPS) for sharpness in (0.1, 1.0, SHARPNESS, 50.0)]
    for lower, higher in zip((average, *scores), (*scores, maximum), strict=True):
        assert (lower < higher).all()
    torch.testing.assert_close(LogSumExp(1e-4)(MAPS.double()), Average()(MAPS.double()), rtol=0, atol=1e-3)
    torch.testing.assert_close(LogSumExp(1e4)(MAPS), maximum, rtol=0, atol=1e-3)


def test_log_sum_exp_of_one_cell_and_of_equal_cells_is_their_value() -> None:
    assert LogSumExp()(torch.full((1, 1, 3, 2), -7.0)).item() == pytest.approx(-7)
    assert LogSumExp()(torch.full((1, 1, 1, 1), 3.0)).item() == pytest.approx(3)


def test_log_sum_exp_of_large_scores_does_not_overflow() -> None:
    scores = LogSumExp(5.0)(torch.tensor([[[[900.0, -900.0]], [[-900.0, -901.0]]]]))  # e^4500 is no float
    expected = [900 - math.log(2) / 5, -900 + math.log((1 + math.exp(-5)) / 2) / 5]
    assert scores[0].tolist() == pytest.approx(expected, rel=1e-6)


def gradient(name: str) -> list[float]:
    maps = torch.tensor([[[[0.0, 1.0, 0.5]]]], requires_grad=True)
    build_aggregation(name)(maps).sum().backward()
    found = maps.grad
    assert isinstance(found, Tensor)
    return found.flatten().tolist()


def test_each_position_learns_as_its_aggregation_says() -> None:
    assert gradient("average") == pytest.approx([1 / 3] * 3)
    assert gradient("maximum") == [0, 1, 0]
    weights = [math.exp(SHARPNESS * score) for score in (0.0, 1.0, 0.5)]
    assert gradient("log_sum_exp") == pytest.approx([weight / sum(weights) for weight in weights], rel=1e-5)


def test_what_is_no_aggregation_is_refused() -> None:
    with pytest.raises(ModelError, match="aggregation = 'median': give one of average, log_sum_exp, maximum"):
        build_aggregation("median")
    with pytest.raises(ModelError, match=r"sharpness = 0\.0: give a number above 0, such as the paper's 5"):
        LogSumExp(0.0)
    assert [type(make()) for make in AGGREGATIONS.values()] == [Average, LogSumExp, Maximum]
