"""The front in this process, over real HTTP, before a TorchServe that is not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from front.app import create_app
from front.logs import Log
from front.settings import Address, Settings
from tests.helpers.fake_torchserve import FakeTorchServe
from tests.helpers.threads import LoopThread


@dataclass
class Front:
    """A front that runs."""

    app: FastAPI
    url: str
    metrics_url: str
    log_file: Path
    thread: LoopThread

    def lines(self, count: int = 0) -> list[dict[str, Any]]:
        """The lines of its log, once there are ``count``."""
        for _ in range(200):
            found = [json.loads(line) for line in self.log_file.read_text().splitlines()]
            if len(found) >= count:
                return found
            self.thread.run(asyncio.sleep(0.05))
        raise AssertionError(f"{len(found)} lines, not {count}: {found}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running_front(torchserve: FakeTorchServe, folder: Path, **settings: Any) -> Iterator[Front]:
    """A front before ``torchserve``.

    Args:
        folder: For its log.
        settings: Fields of `Settings` that differ from its defaults.
    """
    local = "127.0.0.1"
    chosen = replace(
        Settings(
            address=Address(local, free_port()),
            metrics_address=Address(local, free_port()),
            inference=Address(local, torchserve.inference_port),
            management=Address(local, torchserve.management_port),
        ),
        **settings,
    )
    log_file = folder / "requests.log"
    with LoopThread() as thread, log_file.open("wb") as log:
        app = create_app(chosen, Log(log.fileno()))
        server = Server(
            app,
            address=chosen.address.host,
            port=chosen.address.port,
            interface=Interfaces.ASGI,
            http=HTTPModes.http1,
            websockets=False,
            http1_settings=HTTP1Settings(header_read_timeout=round(chosen.header_timeout_s * 1000)),
            log_enabled=False,
        )
        serving = asyncio.run_coroutine_threadsafe(_serve(server), thread.loop)
        _wait_for(chosen.address)
        yield Front(app, chosen.address.url, chosen.metrics_address.url, log_file, thread)
        thread.loop.call_soon_threadsafe(server.stop)
        serving.result(30)


async def _serve(server: Server) -> None:
    await server.serve()


def _wait_for(address: Address) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection((address.host, address.port), timeout=5):
            return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on {address}")
