"""Workers that are killed, that hang and that run out of memory: nothing is lost without a word, and they come back."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from tests.failure.corpus.bombs import png
from tests.failure.corpus.entry import MODEL
from tests.failure.counting import Books, CountingLoad
from tests.failure.plant import Plant, wait_until
from tests.helpers.http import post, send


def lost_with_workers(plant: Plant, model: str) -> dict[str, float]:
    """What the front counted: requests sent to a second worker, and those answered with each reason."""
    reasons = ("worker_died", "worker_timeout", "no_worker", "queue_full", "out_of_memory", "unavailable")
    counts = {reason: plant.count("weakseg_rejections_total", model=model, reason=reason) for reason in reasons}
    return {**counts, "retried": plant.count("weakseg_retries_total", model=model)}


def check_counted(plant: Plant, model: str, books: Books, before: dict[str, float]) -> dict[str, float]:
    """Every refusal that callers saw is one that the front counted, by the same name. Returns what was added."""
    after = lost_with_workers(plant, model)
    added = {name: after[name] - before[name] for name in after}
    assert {name: count for name, count in added.items() if count and name != "retried"} == dict(books.codes)
    return added


def check_fine(plant: Plant, model: str, count: int = 30) -> None:
    """As if nothing had been."""
    books = CountingLoad(plant.url(model), count, prefix="after").run()
    books.check_each_answered_once(count)
    assert books.statuses == {200: count}


def test_one_of_two_killed_in_the_middle_of_its_batch(plant: Plant) -> None:
    """Stopped first, so that it surely holds requests when it is killed; the other one goes on all the while."""
    victim, survivor = plant.ready_workers(MODEL)
    before = lost_with_workers(plant, MODEL)
    with CountingLoad(plant.url(MODEL), 500, parallel=6, prefix="one-of-two") as load:
        load.wait_for(100)
        os.kill(victim, signal.SIGSTOP)
        load.wait_for(250)
        os.kill(victim, signal.SIGKILL)
    books = load.books()
    books.check_each_answered_once(500)
    added = check_counted(plant, MODEL, books, before)
    assert added["retried"] + added["worker_died"] >= 1, "nothing was lost with the worker"
    assert books.statuses[200] >= 500 - 6, books.codes  # at most what was under way
    pids = plant.wait_for_workers(MODEL, 2, without=victim)
    assert survivor in pids
    check_fine(plant, MODEL)


def test_both_killed_at_once(plant: Plant) -> None:
    victims = plant.ready_workers(MODEL)
    before = lost_with_workers(plant, MODEL)
    with CountingLoad(plant.url(MODEL), 300, parallel=6, prefix="both") as load:
        load.wait_for(100)
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
    books = load.books()
    books.check_each_answered_once(300)
    check_counted(plant, MODEL, books, before)
    for victim in victims:
        plant.wait_for_workers(MODEL, 2, without=victim)
    check_fine(plant, MODEL)


def test_the_only_one_killed(plant: Plant) -> None:
    (victim,) = plant.ready_workers("tight")
    before = lost_with_workers(plant, "tight")
    with CountingLoad(plant.url("tight"), 200, parallel=3, prefix="only") as load:
        load.wait_for(60)
        os.kill(victim, signal.SIGKILL)
    books = load.books()
    books.check_each_answered_once(200)
    check_counted(plant, "tight", books, before)
    plant.wait_for_workers("tight", 1, without=victim)
    check_fine(plant, "tight")


def test_one_that_hangs_is_replaced(plant: Plant) -> None:
    """TorchServe ends it after the model's responseTimeout; what it had is refused, and may be sent again."""
    (victim,) = plant.ready_workers("hasty")
    before = lost_with_workers(plant, "hasty")
    os.kill(victim, signal.SIGSTOP)
    books = CountingLoad(plant.url("hasty"), 3, parallel=3, prefix="hanging").run()
    books.check_each_answered_once(3)
    added = check_counted(plant, "hasty", books, before)
    assert added["retried"] + added["worker_timeout"] + added["worker_died"] >= 1
    plant.wait_for_workers("hasty", 1, without=victim)
    assert not psutil.pid_exists(victim)
    check_fine(plant, "hasty")


@contextmanager
def little_memory(pid: int, more_bytes: int) -> Iterator[None]:
    """The process may have ``more_bytes`` of address space beyond what it has."""
    process = psutil.Process(pid)
    before = process.rlimit(psutil.RLIMIT_AS)
    process.rlimit(psutil.RLIMIT_AS, (process.memory_info().vms + more_bytes, before[1]))
    try:
        yield
    finally:
        process.rlimit(psutil.RLIMIT_AS, before)


LARGE = png(7000, 7000, bytes(7001 * 7000))  # 49 megapixels of black: 147 MB of RGB


def test_one_that_runs_out_of_memory_says_so_and_lives(plant: Plant) -> None:
    """Allocations fail: that photo is refused for now, small ones are answered, and later the large one is, too."""
    (worker,) = plant.ready_workers("tight")
    counted = {"model": "tight", "reason": "out_of_memory"}
    before = plant.count("weakseg_rejections_total", **counted)
    with little_memory(worker, 60_000_000):
        refused = post(plant.url("tight"), LARGE)
        assert (refused.status, refused.json["error"]["code"]) == (503, "out_of_memory"), refused.body
        assert refused.headers["Retry-After"].isdigit()
        check_fine(plant, "tight")
    assert plant.ready_workers("tight") == [worker]
    assert post(plant.url("tight"), LARGE).status == 200
    assert plant.count("weakseg_rejections_total", **counted) == before + 1


def workers_told(plant: Plant, model: str) -> int:
    """How many ready workers the front knows of: it looks every few seconds."""
    models = send("GET", f"{plant.launcher.url}/health").json["models"]
    return next(int(known["versions"][0]["workers_ready"]) for known in models if known["model"] == model)


def test_without_any_worker_callers_are_told_to_come_back(plant: Plant) -> None:
    plant.scale("hasty", 0)
    try:
        wait_until(lambda: workers_told(plant, "hasty") == 0, "the front knows")
        books = CountingLoad(plant.url("hasty"), 5, prefix="none").run()
    finally:
        plant.scale("hasty", 1)
    books.check_each_answered_once(5)
    assert books.codes == {"no_worker": 5}
    wait_until(lambda: CountingLoad(plant.url("hasty"), 1).run().statuses == {200: 1}, "hasty answers")
