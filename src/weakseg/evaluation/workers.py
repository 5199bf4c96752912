"""Work on many photos in several processes of one thread each, with a progress bar."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from types import TracebackType
from typing import Self, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Item = TypeVar("Item")
Result = TypeVar("Result")


def count_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def show_progress(*, transient: bool = False) -> Progress:
    """A bar on stderr; ``transient``: it goes when it is done."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=transient,
    )


class Workers:
    """``jobs`` processes that stay until the end of the ``with`` block; 1: all happens in this process."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        if self._jobs > 1:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._jobs, context, initializer=_start_worker)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:  # after an error or an interruption, nobody waits for the rest
            self._pool.shutdown(wait=error is None, cancel_futures=True)

    def map(self, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Results as they are finished, in any order. ``work`` and items are picklable where there are processes."""
        if self._pool is None:
            yield from map(work, items)
            return
        futures = [self._pool.submit(work, item) for item in items]
        for future in as_completed(futures):
            yield future.result()


def _start_worker() -> None:
    from weakseg.threads import limit_threads  # here, as a client of a service needs no PyTorch

    limit_threads(1)
    end_with_parent()


def end_with_parent() -> None:
    """For a process of a pool: one whose parent was killed would wait for work forever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
