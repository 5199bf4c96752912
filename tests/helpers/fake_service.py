"""A service that answers as weakseg does, and misbehaves as it is told: for tests of its clients."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from aiohttp import web
from PIL import Image

from weakseg.codec.coco import area_px, bounding_box, encode_rle
from weakseg.codec.pictures import encode_cutout

RED, GREEN = 1, 8  # category ids
LABELS = {RED: "red", GREEN: "green"}


@dataclass(frozen=True)
class Asked:
    """One request, as it came."""

    photo: int  # by the request id
    tries: int
    options: dict[str, str]
    image: bytes
    request_id: str


@dataclass(frozen=True)
class Error:
    """An answer other than a mask."""

    status: int
    code: str = "queue_full"
    field: str = "image"
    headers: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Body:
    """A 200 with whatever is in it."""

    content: bytes


DROP, HANG, CUT = "drop", "hang", "cut"  # the connection: closed, left open, closed in the middle of an answer
SLOW = "slow"  # an answer after others had time to come
Action = Error | Body | str | None  # None: the answer


class FakeService:
    """Serves on a port of its own in a thread; ``script`` says what happens to each request.

    Every request is kept in ``asked``, without its picture where ``keeps_images`` is false.
    """

    def __init__(
        self,
        script: Callable[[Asked], Action] = lambda _: None,
        *,
        version: str = "1.0",
        health: dict[str, Any] | None = None,
        keeps: bool = True,
    ) -> None:
        self.script, self.version, self.health, self.keeps = script, version, health, keeps
        self.asked: list[Asked] = []
        self.paths: set[str] = set()
        self.tokens: set[str | None] = set()
        self.answered = 0
        self.most_at_once = 0
        self._at_once = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def running(self) -> Iterator[FakeService]:
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        runner = asyncio.run_coroutine_threadsafe(self._start(), loop).result(30)
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self._stop(runner), loop).result(30)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(30)
            loop.close()

    async def _stop(self, runner: web.AppRunner) -> None:
        self._over.set()
        await runner.cleanup()

    async def _start(self) -> web.AppRunner:
        self._over = asyncio.Event()
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/predictions/{model}", self._predict)
        app.router.add_post("/predictions/{model}/{version}", self._predict)
        if self.health is not None:
            app.router.add_get("/health", self._tell_health)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=5)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        return runner

    async def _tell_health(self, request: web.Request) -> web.Response:
        return web.json_response(self.health)

    async def _predict(self, request: web.Request) -> web.StreamResponse:
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            return await self._act(request)
        finally:
            self._at_once -= 1
            self.answered += 1

    async def _act(self, request: web.Request) -> web.StreamResponse:
        self.paths.add(request.path)
        self.tokens.add(request.headers.get("Authorization"))
        form = await request.post()
        image = form["image"].file.read()
        options = {name: str(text) for name, text in form.items() if name != "image"}
        _, photo, *_, tries = request.headers["X-Request-Id"].split(".")
        asked = Asked(int(photo), int(tries), options, image, request.headers["X-Request-Id"])
        if self.keeps:
            self.asked.append(asked)
        action = self.script(asked)
        if action in (DROP, CUT):
            return await self._break(request, half=action == CUT)
        if action == HANG:
            await self._over.wait()
        if action == SLOW:
            await asyncio.sleep(0.05)
        if isinstance(action, Error):
            document = {"code": action.code, "field": action.field, "message": "as scripted.", "remedy": "Wait."}
            return web.json_response({"error": document}, status=action.status, headers=action.headers)
        if isinstance(action, Body):
            return web.Response(body=action.content)
        rgb = np.array(Image.open(io.BytesIO(image)).convert("RGB"))  # (H, W, 3)
        if options["format"] == "cutout":
            return web.Response(body=encode_cutout(rgb, colours(rgb)), content_type="image/png")
        return web.json_response(answer(rgb, self.version))

    async def _break(self, request: web.Request, *, half: bool) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        if half:
            await response.prepare(request)
            await response.write(b'{"half":')
        assert request.transport is not None
        request.transport.abort()
        return response


def colours(rgb: np.ndarray) -> np.ndarray:
    """(H, W): category ids, of what is red or green."""
    values = np.zeros(rgb.shape[:2], np.uint8)
    values[rgb[..., 0] > 127] = RED
    values[rgb[..., 1] > 127] = GREEN
    return values


def answer(rgb: np.ndarray, version: str = "1.0") -> dict[str, Any]:
    """What weakseg says in format json, as far as its clients read it."""
    values = colours(rgb)
    segments = []
    for index, number in enumerate(LABELS):
        mask = values == number
        box = bounding_box(mask)
        segments.append(
            {
                "label": LABELS[number],
                "index": index,
                "value": index + 1,
                "category_id": number,
                "score": 0.5,
                "area_px": area_px(mask),
                "box": box.as_list() if box else None,
                "rle": encode_rle(mask),
            }
        )
    return {
        "model": "weakseg",
        "version": version,
        "method": "cam",
        "network": "fake",
        "demonstration": False,
        "image": {"width": rgb.shape[1], "height": rgb.shape[0]},
        "segments": segments,
        "warnings": [] if values.any() else ["red: its mask is empty."],
    }
