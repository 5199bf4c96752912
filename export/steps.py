"""What an export is doing, on the console."""

from __future__ import annotations

import time

from rich.console import Console


class Steps:
    """Prints each step as it starts and its time when the next one does."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started_s: float | None = None

    def __call__(self, step: str) -> None:
        self.finish()
        self._console.print(f"  {step:<28}", end="")
        self._started_s = time.perf_counter()

    def finish(self) -> None:
        if self._started_s is not None:
            self._console.print(f"{time.perf_counter() - self._started_s:6.1f} s")
            self._started_s = None
