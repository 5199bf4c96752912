"""Good requests, one after the other from several threads, while a test does something else."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.helpers.http import Reply


class Load:
    """What came back so far.

    Args:
        ask: Sends one request.
    """

    def __init__(self, ask: Callable[[], Reply]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self.replies: Counter[str] = Counter()

    @property
    def count(self) -> int:
        return sum(self.replies.values())

    def run(self) -> None:
        while not self._stopped.is_set():
            try:
                reply = self._ask()
                said = str(reply.status) if reply.status == 200 else f"{reply.status} {reply.body[:300]!r}"
            except OSError as error:  # no answer at all
                said = repr(error)
            with self._lock:
                self.replies[said] += 1

    def wait_for(self, more: int) -> None:
        """Return once ``more`` further requests are answered."""
        target = self.count + more
        while self.count < target:
            self._stopped.wait(0.05)

    def stop(self) -> None:
        self._stopped.set()


@contextmanager
def background(ask: Callable[[], Reply], threads: int = 4) -> Iterator[Load]:
    """Load until the block ends; then every request that was sent is answered."""
    load = Load(ask)
    workers = [threading.Thread(target=load.run) for _ in range(threads)]
    for worker in workers:
        worker.start()
    try:
        yield load
    finally:
        load.stop()
        for worker in workers:
            worker.join()
