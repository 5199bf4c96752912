from __future__ import annotations

import pytest

from benchmarks.samples import (
    Exchange,
    Round,
    cpu_ms_per_request,
    interleave,
    make_round,
    overheads_ms,
    paired_ratio,
    percentile,
    pooled_latencies_ms,
    pooled_throughput_per_s,
    throughput_ratio,
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


def exchange(sent_s: float, done_s: float, status: int = 200, pipeline_ms: float | None = None) -> Exchange:
    return Exchange(sent_s, sent_s, done_s, status, pipeline_ms)


def test_a_request_counts_by_the_share_of_its_time_within_the_window() -> None:
    sent = [exchange(0.5, 1.5), exchange(1.5, 2.0), exchange(2.5, 4.5), exchange(0.0, 0.9), exchange(1.0, 2.0, 503)]
    made = make_round(sent, 1.0, 3.0)
    assert made.answered == pytest.approx(0.5 + 1 + 0.25)
    assert made.throughput_per_s == pytest.approx(1.75 / 2)
    assert [each.sent_s for each in made.exchanges] == [1.5, 2.5, 1.0]  # due within it
    assert made.latencies_ms == pytest.approx([500, 2000])  # answered with 200
    assert made.whole == 5


def test_batches_at_the_windows_edge_do_not_round_the_figure() -> None:
    """Four clients whose answers come together, every 2 s: 2 per second, wherever the window lies."""
    bursts = [exchange(2.0 * turn, 2.0 * turn + 2) for turn in range(10) for _ in range(4)]
    for start in (3.0, 3.5, 4.0):
        assert make_round(bursts, start, start + 5).throughput_per_s == pytest.approx(2)


def test_latency_counts_from_when_a_request_was_due() -> None:
    made = make_round([Exchange(1.0, 1.4, 2.0, 200)], 0.0, 3.0)
    assert made.latencies_ms == pytest.approx([1000])
    assert made.lateness_ms == pytest.approx(400)


def test_figures_pool_all_rounds() -> None:
    rounds = [
        Round((exchange(0, 0.01, 200, 7), exchange(0, 0.02, 200, 18)), 3.0, 0.5, {"java": 1.0}, 4),
        Round((exchange(0, 0.04),), 1.0, 1.5, {"java": 1.0, "front": 1.5}, 1),
    ]
    assert rounds[0].throughput_per_s == 6.0
    assert pooled_throughput_per_s(rounds) == 2.0  # 4 in 2 s
    assert pooled_latencies_ms(rounds) == pytest.approx([10, 20, 40])
    assert overheads_ms(rounds) == pytest.approx([3, 2])  # the last tells no total of its own
    assert cpu_ms_per_request(rounds) == {"java": 400.0, "front": 300.0}
    assert throughput_ratio(rounds, rounds[::-1]) == pytest.approx((9 + 1 / 9) / 2)


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
