"""The front's worker process, killed: another takes its place, and no answer reaches the wrong caller."""

from __future__ import annotations

import psutil

from tests.failure.corpus.entry import MODEL
from tests.failure.counting import CountingLoad
from tests.failure.plant import Plant, wait_until


def serving_process(plant: Plant) -> psutil.Process:
    """Granian's worker: the front's process that has no child."""
    (worker,) = [process for process in plant.processes()["front"] if not process.children()]
    return worker


def test_the_front_comes_back(plant: Plant) -> None:
    victim, workers = serving_process(plant), plant.ready_workers(MODEL)
    with CountingLoad(plant.url(MODEL), 300, parallel=4, prefix="front") as load:
        load.wait_for(100)
        victim.kill()
    books = load.books()
    assert not books.faults, books.faults[:5]
    assert set(books.statuses) <= {200, None}, books.statuses
    assert books.lost, "it was killed while it had nothing"
    wait_until(
        lambda: CountingLoad(plant.url(MODEL), 1, prefix="again").run().statuses == {200: 1}, "the front answers"
    )
    after = CountingLoad(plant.url(MODEL), 100, prefix="after-front").run()
    after.check_each_answered_once(100)
    assert after.statuses == {200: 100}
    assert plant.ready_workers(MODEL) == workers, "models were loaded anew for nothing"
    assert serving_process(plant).pid != victim.pid
