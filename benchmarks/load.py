"""Closed-loop load: each client sends its next request when the last one is answered."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from benchmarks.samples import Round

TIMINGS = "X-Weakseg-Timings-Ms"
TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send what."""

    host: str
    port: int
    path: str
    body: bytes
    headers: Mapping[str, str]


def put_load(target: Target, clients: int, duration_s: float) -> Round:
    """Load one service with as many keep-alive connections as there are clients, one thread each.

    No request starts after ``duration_s``; those under way are awaited and count. Every client sends one at least.

    Raises:
        RuntimeError: an answer was not 200: the time of a failure is no figure.
    """
    connections = [_connect(target) for _ in range(clients)]
    try:
        with ThreadPoolExecutor(clients) as pool:
            started = time.perf_counter()
            deadline = started + duration_s
            futures = [pool.submit(_send_until, deadline, connection, target) for connection in connections]
            exchanges = [exchange for future in futures for exchange in future.result()]
            elapsed_s = time.perf_counter() - started
    finally:
        for connection in connections:
            connection.close()
    own = tuple(total for _, total in exchanges if total is not None)
    return Round(tuple(latency for latency, _ in exchanges), own, elapsed_s)


def send(target: Target) -> bytes:
    """One request on a connection of its own; the answer's body."""
    connection = _connect(target)
    try:
        return _exchange(connection, target)[0]
    finally:
        connection.close()


def _connect(target: Target) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection(target.host, target.port, timeout=TIMEOUT_S)
    connection.connect()
    return connection


def _send_until(
    deadline: float, connection: http.client.HTTPConnection, target: Target
) -> list[tuple[float, float | None]]:
    """Latency at the client and the service's own total, in milliseconds, of each request."""
    exchanges: list[tuple[float, float | None]] = []
    while not exchanges or time.perf_counter() < deadline:
        started = time.perf_counter()
        _, timings = _exchange(connection, target)
        latency_ms = (time.perf_counter() - started) * 1000
        exchanges.append((latency_ms, json.loads(timings)["total"] if timings else None))
    return exchanges


def _exchange(connection: http.client.HTTPConnection, target: Target) -> tuple[bytes, str | None]:
    connection.request("POST", target.path, target.body, dict(target.headers))
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{target.path} answered {answer.status}: {body[:500]!r}")
    return body, answer.getheader(TIMINGS)
