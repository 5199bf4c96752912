"""A cheap client: closed loops and open ones, one thread and one keep-alive connection for each request under way."""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from benchmarks.samples import Exchange, Round, make_round

TIMINGS = "X-Weakseg-Timings-Ms"
TIMEOUT_S = 120
LONGEST_REST_S = 1.0
MOST_IN_FLIGHT = 256  # of an open loop; beyond, requests leave late, and their latency still counts from when due
CLIENT = "client"


class LoadError(Exception):
    """An answer was not as it must be: the time of a failure is no figure."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send what."""

    host: str
    port: int
    path: str
    body: bytes
    headers: Mapping[str, str]


class Connection:
    """One keep-alive connection; opened anew after a rest, since servers close those that are idle."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._connection = http.client.HTTPConnection(target.host, target.port, timeout=TIMEOUT_S)
        self._used_s = time.monotonic()

    def exchange(self) -> tuple[int, bytes, float | None]:
        """Status, body, and the pipeline's own total (ms).

        Raises:
            OSError, http.client.HTTPException: no answer.
        """
        target = self._target
        if time.monotonic() - self._used_s > LONGEST_REST_S:
            self._connection.close()
        self._connection.request("POST", target.path, target.body, dict(target.headers))
        answer = self._connection.getresponse()
        body = answer.read()
        timings = answer.getheader(TIMINGS)
        self._used_s = time.monotonic()
        return answer.status, body, json.loads(timings)["total"] if timings else None

    def close(self) -> None:
        self._connection.close()


def send(target: Target) -> bytes:
    """One request on a connection of its own; the answer's body.

    Raises:
        LoadError: not a 200.
    """
    connection = Connection(target)
    try:
        status, body, _ = connection.exchange()
    finally:
        connection.close()
    if status != 200:
        raise LoadError(f"{target.path} on port {target.port} answered {status}: {body[:500]!r}")
    return body


def put_load(target: Target, clients: int, duration_s: float, ramp_s: float = 0.0) -> Round:
    """Closed loop: as many connections as clients, each asks again as soon as it is answered.

    Nothing is sent after ramp and duration; what is under way then is awaited.

    Args:
        ramp_s: Load before the window that counts.
    Raises:
        LoadError: an answer was not 200.
    """
    end_s = ramp_s + duration_s

    def loop(clock: Callable[[], float]) -> list[Exchange]:
        connection, exchanges = Connection(target), []
        try:
            while not exchanges or clock() < end_s:
                sent_s = clock()
                exchanges.append(_timed(connection, clock, sent_s, sent_s))
        finally:
            connection.close()
        return exchanges

    made = _in_threads([loop] * clients)
    _refuse_failures(target, made)
    return make_round(made, ramp_s, end_s)


def put_arrivals(target: Target, arrivals_s: Sequence[float], duration_s: float, *, strict: bool = True) -> Round:
    """Open loop: requests leave when they are due, whether or not earlier ones are answered.

    Args:
        arrivals_s: When they are due, ascending, from the start.
        strict: Refuse answers other than 200.
    Raises:
        LoadError: with ``strict``, an answer was not 200.
    """
    due, lock = iter(arrivals_s), threading.Lock()
    resting: list[Connection] = []  # the one that was used last is used next

    def loop(clock: Callable[[], float]) -> list[Exchange]:
        exchanges = []
        for due_s in _take_turns(due, lock):
            if (wait_s := due_s - clock()) > 0:
                time.sleep(wait_s)
            with lock:
                connection = resting.pop() if resting else Connection(target)
            exchanges.append(_timed(connection, clock, due_s, clock()))
            with lock:
                resting.append(connection)
        return exchanges

    made = _in_threads([loop] * min(MOST_IN_FLIGHT, len(arrivals_s)))
    for connection in resting:
        connection.close()
    if strict:
        _refuse_failures(target, made)
    return make_round(made, 0.0, duration_s)


def _take_turns(due: Iterator[float], lock: threading.Lock) -> Iterator[float]:
    """The next that is due and that no other thread has taken."""
    while True:
        with lock:
            due_s = next(due, None)
        if due_s is None:
            return
        yield due_s


def _timed(connection: Connection, clock: Callable[[], float], due_s: float, sent_s: float) -> Exchange:
    status, _, pipeline_ms = connection.exchange()
    return Exchange(due_s, sent_s, clock(), status, pipeline_ms)


def _in_threads(loops: Sequence[Callable[[Callable[[], float]], list[Exchange]]]) -> list[Exchange]:
    """Run all at once against one clock that starts with them."""
    with ThreadPoolExecutor(len(loops)) as pool:
        start = time.perf_counter() + 0.02  # all threads are there by then

        def clock() -> float:
            return time.perf_counter() - start

        def run(loop: Callable[[Callable[[], float]], list[Exchange]]) -> list[Exchange]:
            time.sleep(max(-clock(), 0.0))
            return loop(clock)

        return list(itertools.chain.from_iterable(pool.map(run, loops)))


def _refuse_failures(target: Target, exchanges: Sequence[Exchange]) -> None:
    statuses = [each.status for each in exchanges if each.status != 200]
    if statuses:
        raise LoadError(
            f"{target.path} on port {target.port}: {len(statuses)} of {len(exchanges)} answers were "
            f"{sorted(set(statuses))}"
        )


def count_own_cpu(run: Callable[[], Round]) -> Round:
    """A round, with this process's CPU time as that of the client."""
    before_s = time.process_time()
    made = run()
    return replace(made, cpu_s={**made.cpu_s, CLIENT: time.process_time() - before_s})
