"""What a refused request holds is free when it is answered, not when the garbage collector comes by."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests.helpers.fake_torchserve import FakeTorchServe, worker_died
from tests.helpers.front import running_front

COUNT = 12


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def half_closed(port: int) -> int:
    """Connections at the front whose other side has gone, and which the front keeps."""
    found = psutil.Process().net_connections("tcp")
    return sum(each.laddr.port == port and each.status == psutil.CONN_CLOSE_WAIT for each in found)


def test_connections_of_requests_that_took_too_long(no_collector: None, tmp_path: Path) -> None:
    with FakeTorchServe() as torchserve, running_front(torchserve, tmp_path, body_timeout_s=0.2) as front:
        port = urlsplit(front.url).port or 0
        for _ in range(COUNT):
            with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
                connection.sendall(b"POST /predictions/m HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\nhalf")
                assert connection.recv(100).startswith(b"HTTP/1.1 408")
        front.lines(COUNT)
        for _ in range(100):
            if half_closed(port) == 0:
                break
            front.thread.run(_moment())
        assert half_closed(port) == 0


def test_photos_of_requests_that_were_lost(no_collector: None, tmp_path: Path) -> None:
    """Each is held once, by the envelope; and by nobody once it is refused."""
    with FakeTorchServe() as torchserve, running_front(torchserve, tmp_path, retries=0) as front:
        torchserve.add_model("m")
        torchserve.worker = lambda seen: worker_died()
        body = bytes(3_000_001)
        before = psutil.Process().memory_info().rss
        for _ in range(40):
            with socket.create_connection(("127.0.0.1", urlsplit(front.url).port), timeout=120) as connection:
                connection.sendall(b"POST /predictions/m HTTP/1.1\r\nHost: a\r\nContent-Length: 3000001\r\n\r\n" + body)
                assert connection.recv(100).startswith(b"HTTP/1.1 503")
            torchserve.seen.clear()
        grown = psutil.Process().memory_info().rss - before
        assert grown < 60_000_000, f"{grown:,} bytes for 40 refusals of 3 MB"


async def _moment() -> None:
    await asyncio.sleep(0.05)
