"""No space for logs: lines are lost, requests are not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from tests.failure.corpus.entry import MODEL
from tests.failure.counting import CountingLoad
from tests.failure.plant import Plant


@contextmanager
def full_disk(processes: list[psutil.Process]) -> Iterator[None]:
    """No file of theirs may grow: each write fails as on a full disk. Sockets and pipes are none."""
    before = [process.rlimit(psutil.RLIMIT_FSIZE) for process in processes]
    for process, (_, most) in zip(processes, before, strict=True):
        process.rlimit(psutil.RLIMIT_FSIZE, (1, most))
    try:
        yield
    finally:
        for process, limits in zip(processes, before, strict=True):
            process.rlimit(psutil.RLIMIT_FSIZE, limits)


def test_requests_go_on_while_no_log_can_be_written(plant: Plant) -> None:
    CountingLoad(plant.url(MODEL), 5, prefix="log-before").run()
    plant.log_of("log-before-4")
    everyone = [process for kind in plant.processes().values() for process in kind]
    with full_disk(everyone):
        books = CountingLoad(plant.url(MODEL), 200, prefix="log-full").run()
    books.check_each_answered_once(200)
    assert books.statuses == {200: 200}
    assert not [line for line in plant.log_lines() if str(line.get("request_id", "")).startswith("log-full")]

    CountingLoad(plant.url(MODEL), 5, prefix="log-after").run()
    plant.log_of("log-after-4")
    assert sum(line.get("lost", 0) for line in plant.log_lines()) >= 200, "nobody says that lines were lost"
    assert [process.pid for process in everyone if not process.is_running()] == []
