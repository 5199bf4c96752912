"""Jobs of one batch, side by side on the cores that a worker was given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import cv2

Item = TypeVar("Item")


class SideBySide:
    """As many threads as a worker has cores; they start with the first batch that needs them.

    Args:
        threads: 1: everything happens in the caller's thread.
    """

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="refine") if threads > 1 else None

    def each(self, work: Callable[[Item], None], items: Sequence[Item]) -> None:
        """Call ``work`` for every item; return when all are done. What it raises is raised here."""
        if self._pool is None or len(items) < 2:
            for item in items:
                work(item)
            return
        with _one_thread_in_opencv():
            for _ in self._pool.map(work, items):
                pass


@contextmanager
def _one_thread_in_opencv() -> Iterator[None]:
    """OpenCV's own threads would fight with ours for the same cores."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
