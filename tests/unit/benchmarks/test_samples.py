from __future__ import annotations

import pytest

from benchmarks.samples import (
    Round,
    interleave,
    overheads_ms,
    paired_ratio,
    percentile,
    pooled_latencies_ms,
    pooled_throughput_per_s,
)


@pytest.mark.parametrize(
    ("percent", "expected"), [(1, 10.0), (25, 10.0), (26, 20.0), (50, 20.0), (75, 30.0), (99, 40.0), (100, 40.0)]
)
def test_percentile_is_the_nearest_rank(percent: float, expected: float) -> None:
    assert percentile([40.0, 10.0, 30.0, 20.0], percent) == expected


def test_percentile_99_of_a_hundred_is_the_second_largest() -> None:
    assert percentile([float(value) for value in range(1, 101)], 99) == 99.0
    assert percentile([float(value) for value in range(1, 102)], 99) == 100.0  # 99.99, rounded up


@pytest.mark.parametrize(("samples", "percent"), [([], 50), ([1.0], 0), ([1.0], 101)])
def test_percentile_of_nothing_is_an_error(samples: list[float], percent: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        percentile(samples, percent)


def test_ratios_are_paired_within_rounds() -> None:
    # The machine became three times slower in the second round: each round's ratio is still 2.
    assert paired_ratio([10.0, 30.0], [5.0, 15.0]) == 2.0
    assert paired_ratio([10.0, 30.0, 8.0], [5.0, 15.0, 1.0]) == 2.0  # the median of 2, 2, 8


def test_ratios_need_a_partner_in_every_round() -> None:
    with pytest.raises(ValueError, match="zip"):
        paired_ratio([1.0, 2.0], [1.0])


def test_figures_pool_all_rounds() -> None:
    rounds = [Round((10.0, 20.0, 30.0), (7.0, 18.0, 21.0), 0.5), Round((40.0,), (36.0,), 1.5)]
    assert rounds[0].throughput_per_s == 6.0
    assert pooled_throughput_per_s(rounds) == 2.0  # 4 in 2 s
    assert pooled_latencies_ms(rounds) == [10.0, 20.0, 30.0, 40.0]
    assert overheads_ms(rounds) == [3.0, 2.0, 9.0, 4.0]


def test_overhead_needs_the_services_own_total() -> None:
    with pytest.raises(ValueError, match="zip"):
        overheads_ms([Round((10.0, 20.0), (), 1.0)])


def test_cases_take_turns() -> None:
    order: list[str] = []
    steps: list[int] = []

    def run(name: str) -> int:
        order.append(name)
        return len(order)

    results = interleave(
        {"a": lambda: run("a"), "b": lambda: run("b")}, rounds=3, on_step=lambda: steps.append(len(order))
    )
    assert order == ["a", "b", "a", "b", "a", "b"]
    assert results == {"a": [1, 3, 5], "b": [2, 4, 6]}
    assert steps == [1, 2, 3, 4, 5, 6]
