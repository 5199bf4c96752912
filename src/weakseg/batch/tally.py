"""Counts of a run while it goes."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass, field

_WINDOW = 200  # photos over which the current speed is taken


@dataclass
class Tally:
    """What this start of a run has met.

    Args:
        total: Photos of the source; None where it is not known.
    """

    total: int | None = None
    done: int = 0
    failed: int = 0
    skipped: int = 0  # done or failed by an earlier start
    repeated: int = 0  # names that came twice
    codes: Counter[str] = field(default_factory=Counter)
    started: float = field(default_factory=time.monotonic)
    _recent: deque[float] = field(default_factory=lambda: deque(maxlen=_WINDOW))

    def finish(self, code: str | None = None) -> None:
        """One photo more; ``code``: why it failed."""
        self._recent.append(time.monotonic())
        if code is None:
            self.done += 1
        else:
            self.failed += 1
            self.codes[code] += 1

    @property
    def met(self) -> int:
        return self.done + self.failed + self.skipped + self.repeated

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.started

    def per_second(self) -> float:
        """Photos per second, of late."""
        if len(self._recent) < 2:
            return 0.0
        span = self._recent[-1] - self._recent[0]
        return (len(self._recent) - 1) / span if span > 0 else 0.0

    def left_s(self) -> float | None:
        """Seconds until the end at the current speed; None where that cannot be said."""
        speed = self.per_second()
        return None if self.total is None or speed == 0 else max(0, self.total - self.met) / speed
