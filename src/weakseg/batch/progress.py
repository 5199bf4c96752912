"""How a run shows that it goes on: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import time
from datetime import timedelta
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from weakseg.batch.names import printable
from weakseg.batch.tally import Tally

LINE_EVERY_S = 10.0


class Display(Protocol):
    """A context in which a run is shown."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, tally: Tally, retries: int) -> None: ...

    def complain(self, name: str, words: str) -> None: ...


def open_display(*, quiet: bool) -> Display:
    """On stderr."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    return Lines(console, every_s=float("inf")) if quiet else Bar(console) if console.is_terminal else Lines(console)


class Bar:
    """rich's, with failures above it as they come."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(BarColumn(), TextColumn("{task.description}"), console=console)
        self._task = self._progress.add_task("", total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, tally: Tally, retries: int) -> None:
        self._progress.update(self._task, total=tally.total, completed=tally.met, description=describe(tally, retries))

    def complain(self, name: str, words: str) -> None:
        self._progress.console.print(Text(f"{printable(name)}: {words}"))


class Lines:
    """For logs: one line each ``every_s``, and the failures."""

    def __init__(self, console: Console, every_s: float = LINE_EVERY_S) -> None:
        self._console, self._every_s = console, every_s
        self._next = time.monotonic() + every_s

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def show(self, tally: Tally, retries: int) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self._every_s
            self._console.print(Text(describe(tally, retries)))

    def complain(self, name: str, words: str) -> None:
        self._console.print(Text(f"{printable(name)}: {words}"))


def describe(tally: Tally, retries: int) -> str:
    """``120 of 10,000, 3.1 photos/s, 53 minutes left, 2 failed, 5 retries``."""
    parts = [f"{tally.met:,}" + ("" if tally.total is None else f" of {tally.total:,}")]
    parts.append(f"{tally.per_second():.1f} photos/s")
    left_s = tally.left_s()
    if left_s is not None:
        parts.append(f"{timedelta(seconds=round(left_s))} left")
    parts += [f"{tally.failed:,} failed", f"{retries:,} retries"]
    if tally.skipped:
        parts.append(f"{tally.skipped:,} done before")
    return ", ".join(parts)
