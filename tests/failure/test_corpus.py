"""Hundreds of bad requests among good ones: each is refused as it should be, and nothing else notices."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.failure.corpus import Bad, make_corpus
from tests.failure.corpus.entry import MODEL
from tests.failure.counting import Books, Caller, Outcome
from tests.failure.numbered import OPTIONS
from tests.failure.plant import Plant, read_log, wait_until
from tests.failure.wire import Answer, exchange

CORPUS = make_corpus()
BAD_SHARE = 0.2
GOOD_PER_BAD = round(1 / BAD_SHARE) - 1
PARALLEL = 6
GROWTH_MB = {
    "front": 40,
    "java": 150,
    "worker": 120,
}  # after a pass over the corpus; two workers, Java's heap has a bound
SERVER_ERRORS = ("Traceback (most recent call last)", "a request failed", "the network failed")


@dataclass(frozen=True)
class Passed:
    """What became of the whole mixture, and what it did to the service."""

    answers: dict[str, Answer | TimeoutError | None]  # of bad requests, by name
    good: Books
    workers: tuple[list[int], list[int]]  # before and after
    resident_mb: tuple[dict[str, float], dict[str, float]]
    said: str  # the workers' log meanwhile


def send_bad(plant: Plant, bad: Bad) -> Answer | TimeoutError | None:
    try:
        return exchange(plant.port, bad.request, ends=bad.ends)
    except TimeoutError as error:
        return error


class Mixture:
    """Bad requests, each once, and GOOD_PER_BAD numbered photos for each of them."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._numbers = itertools.count()
        self._local = threading.local()
        self._callers: list[Caller] = []
        self.good: list[Outcome] = []
        self.answers: dict[str, Answer | TimeoutError | None] = {}

    def run(self) -> None:
        with ThreadPoolExecutor(PARALLEL) as pool:
            for done in pool.map(self._send, CORPUS.values()):
                self.good += done
        for caller in self._callers:
            caller.close()

    def _send(self, bad: Bad) -> list[Outcome]:
        if not hasattr(self._local, "caller"):
            self._local.caller = Caller(self._plant.url(MODEL), OPTIONS, {})
            self._callers.append(self._local.caller)
        numbers = [next(self._numbers) for _ in range(GOOD_PER_BAD)]
        half = GOOD_PER_BAD // 2
        first = [self._local.caller.ask(number, f"among-bad-{number}") for number in numbers[:half]]
        self._local.caller.close()  # the front ends connections that are silent for as long as a slow one may take
        self.answers[bad.name] = send_bad(self._plant, bad)
        return first + [self._local.caller.ask(number, f"among-bad-{number}") for number in numbers[half:]]


@pytest.fixture(scope="module")
def passed(plant: Plant) -> Passed:
    with ThreadPoolExecutor(PARALLEL) as pool:  # what every buffer and every cache grows to
        list(pool.map(lambda bad: send_bad(plant, bad), CORPUS.values()))
    workers, resident_mb = plant.ready_workers(MODEL), plant.resident_mb()
    said_before = len(read_log(plant, "model_log.log"))
    mixture = Mixture(plant)
    mixture.run()
    good = Books(tuple(sorted(mixture.good, key=lambda outcome: outcome.number)))
    after = plant.ready_workers(MODEL), plant.resident_mb()
    said = read_log(plant, "model_log.log")[said_before:]
    return Passed(mixture.answers, good, (workers, after[0]), (resident_mb, after[1]), said)


@pytest.mark.parametrize("name", CORPUS)
def test_a_bad_request_is_refused_as_it_should_be(plant: Plant, passed: Passed, name: str) -> None:
    bad, answer = CORPUS[name], passed.answers[name]
    assert not isinstance(answer, TimeoutError), "neither answered nor closed"
    if answer is None:
        assert bad.may_close, "closed without an answer"
    else:
        assert answer.status in bad.statuses, answer.body[:500]


def test_the_good_ones_among_them_are_unaffected(plant: Plant, passed: Passed) -> None:
    passed.good.check_each_answered_once(GOOD_PER_BAD * len(CORPUS))
    assert set(passed.good.statuses) == {200}, passed.good.codes


def test_no_worker_died(plant: Plant, passed: Passed) -> None:
    before, after = passed.workers
    assert len(before) == 2
    assert after == before


@pytest.mark.parametrize("kind", GROWTH_MB)
def test_memory_does_not_grow(plant: Plant, passed: Passed, kind: str) -> None:
    before, after = (resident[kind] for resident in passed.resident_mb)
    assert before > 0
    assert after - before < GROWTH_MB[kind], f"{before:.0f} MB before, {after:.0f} MB after"


def test_nobody_was_surprised(plant: Plant, passed: Passed) -> None:
    """A worker's traceback is a bug of ours, whatever was answered."""
    assert [words for words in SERVER_ERRORS if words in passed.said] == []


def test_nothing_is_left_under_way(plant: Plant, passed: Passed) -> None:
    wait_until(lambda: plant.count("weakseg_requests_in_flight") == 0, "nothing is under way")
