"""More requests than a model's queue takes: the surplus is told to come back, and the next request is answered."""

from __future__ import annotations

import os
import signal

from tests.failure.conftest import QUEUE
from tests.failure.counting import CountingLoad
from tests.failure.plant import Plant, wait_until


def test_the_surplus_of_a_full_queue_is_refused_and_counted(plant: Plant) -> None:
    """The worker is stopped while they come, so that the queue is full; then it answers those that it took."""
    (worker,) = plant.ready_workers("tight")
    before = plant.count("weakseg_rejections_total", model="tight", reason="queue_full")
    os.kill(worker, signal.SIGSTOP)
    try:
        with CountingLoad(plant.url("tight"), 60, parallel=60, prefix="flood") as load:
            load.wait_for(60 - QUEUE - 2)  # refused at once; the others wait
            os.kill(worker, signal.SIGCONT)
    finally:
        os.kill(worker, signal.SIGCONT)
    books = load.books()
    books.check_each_answered_once(60)
    assert books.codes == {"queue_full": books.statuses[503]}
    assert QUEUE <= books.statuses[200] <= QUEUE + 2, books.statuses  # beside the queue, what the worker had
    assert plant.count("weakseg_rejections_total", model="tight", reason="queue_full") - before == books.statuses[503]

    next_one = CountingLoad(plant.url("tight"), 1, prefix="after-flood").run()
    assert next_one.statuses == {200: 1}
    assert plant.ready_workers("tight") == [worker]
    wait_until(lambda: plant.count("weakseg_requests_in_flight", model="tight") == 0, "nothing is under way")


def test_a_flood_that_the_worker_eats_while_it_comes(plant: Plant) -> None:
    books = CountingLoad(plant.url("tight"), 400, parallel=40, prefix="flow").run()
    books.check_each_answered_once(400)
    assert set(books.codes) <= {"queue_full"}
    assert books.statuses[200] >= QUEUE
    assert CountingLoad(plant.url("tight"), 1, prefix="after-flow").run().statuses == {200: 1}
