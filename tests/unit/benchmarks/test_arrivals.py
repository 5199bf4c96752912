"""Schedules of an open loop, and the queue that nobody can beat."""

from __future__ import annotations

import itertools
import statistics

import pytest

from benchmarks.arrivals import Arrivals, ideal_latencies_s, schedule


def test_constant_arrivals_are_equally_far_apart() -> None:
    assert schedule(Arrivals.CONSTANT, 4, 1.5) == [0, 0.25, 0.5, 0.75, 1.0, 1.25]


def test_poisson_arrivals_have_their_rate_and_exponential_gaps() -> None:
    times = schedule(Arrivals.POISSON, 50, 400, seed=3)
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert times == sorted(times)
    assert times[-1] < 400
    assert len(times) == pytest.approx(20_000, rel=0.03)
    # Of an exponential distribution the standard deviation is the mean, and 1/e of the gaps are longer than it.
    assert statistics.stdev(gaps) == pytest.approx(statistics.mean(gaps), rel=0.03)
    assert sum(gap > 1 / 50 for gap in gaps) / len(gaps) == pytest.approx(0.368, abs=0.02)


def test_poisson_arrivals_repeat_with_their_seed() -> None:
    assert schedule(Arrivals.POISSON, 5, 10, seed=1) == schedule(Arrivals.POISSON, 5, 10, seed=1)
    assert schedule(Arrivals.POISSON, 5, 10, seed=1) != schedule(Arrivals.POISSON, 5, 10, seed=2)


@pytest.mark.parametrize("kind", list(Arrivals))
@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_no_rate_is_an_error(kind: Arrivals, rate: float) -> None:
    with pytest.raises(ValueError, match="requests per second"):
        schedule(kind, rate, 10)


def test_ideal_service_queues_first_come_first_served() -> None:
    # One server, a second each: the second waits 0.5 s, the third 1 s, the fourth finds it free.
    assert ideal_latencies_s([0, 0.5, 1, 9], 1, 1) == [1, 1.5, 2, 1]
    assert ideal_latencies_s([0, 0.5, 1, 9], 1, 2) == [1, 1, 1, 1]
    assert ideal_latencies_s([0, 0, 0], 2, 2) == [2, 2, 4]
