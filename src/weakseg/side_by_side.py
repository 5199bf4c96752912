"""Jobs of one batch, side by side on the cores that a worker was given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import TypeVar

import cv2

Item = TypeVar("Item")


class _QuietOpenCv:
    """OpenCV's own threads would fight with ours for the same cores. Their number is one for the whole process."""

    def __init__(self) -> None:
        self._changing = Lock()
        self._users = 0
        self._usual = 0

    @contextmanager
    def one_thread(self) -> Iterator[None]:
        """One thread until the last of the callers is done, then as many as before the first of them."""
        with self._changing:
            if self._users == 0:
                self._usual = cv2.getNumThreads()
                cv2.setNumThreads(1)
            self._users += 1
        try:
            yield
        finally:
            with self._changing:
                self._users -= 1
                if self._users == 0:
                    cv2.setNumThreads(self._usual)


_quiet_opencv = _QuietOpenCv()


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
        with _quiet_opencv.one_thread():
            for _ in self._pool.map(work, items):
                pass
