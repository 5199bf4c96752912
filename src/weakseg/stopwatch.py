"""What one request spends where: seconds by stage."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

# What answers name. Maps that a heat map or npz shows are restored by ``encode``; ``maps`` are those that are refined.
STAGES = ("decode", "forward", "maps", "refine", "encode")


class Stopwatch:
    """Stages of one request, by the clock ``time.perf_counter``.

    Args:
        started: When the request's batch arrived.
    """

    def __init__(self, started: float) -> None:
        self.started = started
        self.seconds: dict[str, float] = {}  # of the stages that ran

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add what happens inside to a stage, whether it succeeds or not."""
        since = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - since)

    def add(self, name: str, seconds: float) -> None:
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds

    def move(self, seconds: float, *, to: str, out_of: str) -> None:
        """Part of a stage was another one's."""
        self.add(to, seconds)
        self.add(out_of, -seconds)

    def total(self) -> float:
        """Seconds since the batch arrived, waiting for neighbours included."""
        return time.perf_counter() - self.started

    def timings_ms(self) -> dict[str, float]:
        """Milliseconds of every stage, 0.0 of one that did not run, and ``total`` until now."""
        return {name: _ms(self.seconds.get(name, 0.0)) for name in STAGES} | {"total": _ms(self.total())}


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
