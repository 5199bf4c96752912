"""When requests of an open loop start: by a clock, whether or not earlier ones are answered.

A closed loop waits for an answer before it asks again, so that a slow service is asked less and its worst moments are
hardly sampled ("coordinated omission"). Here the schedule is made before the load starts, and a latency runs from the
scheduled moment, however late the request itself got away.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from enum import StrEnum


class Arrivals(StrEnum):
    """How the times between requests are distributed."""

    CONSTANT = "constant"
    POISSON = "poisson"  # independent callers: times between requests are exponential


def schedule(kind: Arrivals, rate_per_s: float, duration_s: float, *, seed: int = 0) -> list[float]:
    """Seconds from the start at which requests are due, ascending, all below ``duration_s``.

    Raises:
        ValueError: the rate is not above 0.
    """
    if not rate_per_s > 0:
        raise ValueError(f"a rate of {rate_per_s} requests per second has no schedule: give one above 0")
    if kind is Arrivals.CONSTANT:
        return [index / rate_per_s for index in range(int(duration_s * rate_per_s))]
    chance, due_s, times = random.Random(seed), 0.0, []
    while (due_s := due_s + chance.expovariate(rate_per_s)) < duration_s:
        times.append(due_s)
    return times


def ideal_latencies_s(arrivals_s: Sequence[float], service_s: float, servers: int) -> list[float]:
    """What a service without any spread would answer in: every request takes ``service_s`` on one of ``servers``.

    First come, first served. The latency beyond this is the service's own doing; up to it, it is the arrivals'.
    """
    free_s = [0.0] * servers
    latencies = []
    for due_s in arrivals_s:
        done_s = max(due_s, heapq.heappop(free_s)) + service_s
        heapq.heappush(free_s, done_s)
        latencies.append(done_s - due_s)
    return latencies
