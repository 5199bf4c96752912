"""Clients that drip, and clients that vanish: others are served, and nothing of them stays."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from tests.failure.corpus.entry import MODEL, PATH
from tests.failure.counting import CountingLoad
from tests.failure.numbered import make_photo
from tests.failure.plant import Plant, wait_until
from tests.failure.test_front_killed import serving_process
from tests.failure.wire import http_request, read_answer

DRIPPERS = 50
HEAD = http_request("POST", PATH, {"Content-Type": "image/png"}, make_photo(1)).partition(b"\r\n\r\n")[0]
WHOLE = http_request("POST", PATH, {"Content-Type": "image/png"}, make_photo(2))
LEFT_OVER = 5  # descriptors that may come and go by themselves: connections to TorchServe, Prometheus


def descriptors(plant: Plant) -> int:
    """Open files and sockets of the front's serving process."""
    return serving_process(plant).num_fds()


@contextmanager
def dripping(port: int, start: bytes) -> Iterator[list[socket.socket]]:
    """DRIPPERS connections that send ``start`` and then a byte now and then, until they are closed or this ends."""
    connections = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(DRIPPERS)]
    done = threading.Event()

    def drip() -> None:
        for connection in connections:
            connection.sendall(start)
        while not done.wait(0.5):
            for connection in connections:
                with contextlib.suppress(OSError):  # closed by the other side: what this is for
                    connection.send(b"x")

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield connections
    finally:
        done.set()
        thread.join()
        for connection in connections:
            connection.close()


def test_heads_that_drip(plant: Plant) -> None:
    before = descriptors(plant)
    with dripping(plant.port, b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost: a\r\nX-Slow: ") as connections:
        books = CountingLoad(plant.url(MODEL), 150, prefix="beside-heads").run()
        answers = [read_answer(connection) for connection in connections]
    books.check_each_answered_once(150)
    assert books.statuses == {200: 150}
    assert {answer.status for answer in answers if answer} <= {400, 408}
    wait_until(lambda: descriptors(plant) <= before + LEFT_OVER, "the front has closed them")


def test_bodies_that_drip(plant: Plant) -> None:
    before = descriptors(plant)
    start = HEAD.replace(b"Content-Length: ", b"Content-Length: 9") + b"\r\n\r\n\x89PNG"
    with dripping(plant.port, start) as connections:
        books = CountingLoad(plant.url(MODEL), 150, prefix="beside-bodies").run()
        answers = [read_answer(connection) for connection in connections]
    books.check_each_answered_once(150)
    assert books.statuses == {200: 150}
    assert [answer.status if answer else None for answer in answers] == [408] * DRIPPERS
    wait_until(lambda: descriptors(plant) <= before + LEFT_OVER, "the front has closed them")
    assert plant.count("weakseg_requests_in_flight") == 0


def vanish(port: int, request: bytes, *, after_bytes: int = 0) -> None:
    """Send, read a little, and be gone with a reset instead of a farewell."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.sendall(request)
    if after_bytes:
        connection.recv(after_bytes)
    connection.close()


def test_clients_that_vanish(plant: Plant) -> None:
    """In the middle of their body, while they are answered, and in the middle of the answer."""
    CountingLoad(plant.url(MODEL), 20).run()
    before, workers = descriptors(plant), plant.ready_workers(MODEL)
    with CountingLoad(plant.url(MODEL), 200, prefix="beside-vanishing") as load:
        for _ in range(30):
            vanish(plant.port, WHOLE[: len(WHOLE) // 2])
            vanish(plant.port, WHOLE)
            vanish(plant.port, WHOLE, after_bytes=20)
    books = load.books()
    books.check_each_answered_once(200)
    assert books.statuses == {200: 200}
    wait_until(lambda: plant.count("weakseg_requests_in_flight") == 0, "nothing is under way")
    wait_until(lambda: descriptors(plant) <= before + LEFT_OVER, "the front has closed them")
    assert plant.ready_workers(MODEL) == workers
    assert all(psutil.pid_exists(worker) for worker in workers)
