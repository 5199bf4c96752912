"""TorchServe's two APIs without TorchServe: answers come from a function, faults look as TorchServe's do.

    with FakeTorchServe() as torchserve:
        torchserve.add_model("weakseg")
        torchserve.worker = lambda seen: FakeAnswer(200, b"a mask", "image/png")

Words, statuses and types of errors are those of TorchServe 0.12.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.helpers.threads import LoopThread
from weakseg.envelope import Head, unpack
from weakseg.telemetry import HEADER, Telemetry

NO_WORKER = (
    'Model "{model}" has no worker to serve inference request. Please use scale workers API to add workers. If this is'
    " a sequence inference, please check if it is closed, or expired; or exceeds maxSequenceJobQueueSize"
)


@dataclass
class Seen:
    """One request that reached a worker."""

    model: str
    version: str | None
    head: Head
    image: bytes | None
    headers: dict[str, str]


@dataclass
class FakeAnswer:
    """What a worker, or TorchServe in its place, answers; ``hang_up`` closes the connection instead."""

    status: int = 200
    body: bytes = b"a mask"
    content_type: str = "image/png"
    headers: dict[str, str] = field(default_factory=dict)
    hang_up: bool = False
    delay_s: float = 0.0


def fault(status: int, kind: str, message: str) -> FakeAnswer:
    """An error of TorchServe's own."""
    body = json.dumps({"code": status, "type": kind, "message": message}, indent=2).encode()
    return FakeAnswer(status, body, "application/json")


def worker_died(status: int = 500) -> FakeAnswer:
    return fault(status, "InternalServerException", "Worker died.")


def worker_error(status: int, code: str) -> FakeAnswer:
    """A worker's own error, such as a wrong option."""
    document = {"error": {"code": code, "field": "image", "message": "no.", "remedy": "yes."}}
    return FakeAnswer(status, json.dumps(document).encode(), "application/json")


def _mask(seen: Seen) -> FakeAnswer:
    told = Telemetry({"queue": 0.001, "forward": 0.02, "total": 0.03}, "fusion", "crf", 1, 0.25, 4711)
    headers = {HEADER: told.to_header(), "X-Weakseg-Model": seen.model, "X-Weakseg-Segments": "[]"}
    return FakeAnswer(headers=headers)


class FakeTorchServe:
    """Both APIs on free ports of loopback.

    Args:
        keys: Name of an API ("management", "inference") to its key; without them no token is asked for.
    """

    def __init__(self, keys: dict[str, str] | None = None) -> None:
        self.keys = keys or {}
        self.worker: Callable[[Seen], FakeAnswer] = _mask
        self.seen: list[Seen] = []
        self.models: dict[str, dict[str, dict[str, Any]]] = {}
        self.defaults: dict[str, str] = {}
        self.cards: dict[str, dict[str, Any]] = {}
        self.described = 0  # calls that asked a worker for its card
        self.dropped = 0  # requests whose client hung up before they were answered
        self.looks = 0  # lists of all models that were asked for
        self.management_works = True
        self.made_keys: list[tuple[str, str | None]] = []  # APIs that a new key was asked for, and with what
        self._thread = LoopThread()
        self.inference_port = self.management_port = 0

    def add_model(
        self, name: str, version: str = "1.0", *, workers: int = 1, ready: int | None = None, default: bool = True
    ) -> None:
        """A version of a model, with workers of which the first ``ready`` ones are READY (None: all)."""
        count = workers if ready is None else ready
        self.models.setdefault(name, {})[version] = {
            "modelName": name,
            "modelVersion": version,
            "modelUrl": f"{name}.mar",
            "runtime": "python",
            "minWorkers": max(workers, 1),
            "maxWorkers": max(workers, 1),
            "batchSize": 8,
            "maxBatchDelay": 1,
            "responseTimeout": 120,
            "loadedAtStartup": True,
            "workers": [
                {
                    "id": str(9000 + index),
                    "startTime": "2026-12-01T00:00:00.000Z",
                    "status": "READY" if index < count else "UNLOADING",
                    "memoryUsage": 0,
                    "pid": 100 + index,
                    "gpu": False,
                    "gpuUsage": "N/A",
                }
                for index in range(workers)
            ],
            "jobQueueStatus": {"remainingCapacity": 100, "pendingRequests": 0},
        }
        if default:
            self.defaults[name] = version
        self.cards[name] = {
            "name": name,
            "network": "squeezenet1_1",
            "method": "cam",
            "runtime": "onnx",
            "device": "cpu",
            "demonstration": False,
            "classes": ["cat", "dog"],
            "groups": [],
            "options": {"classes": "Names or numbers."},
        }

    def __enter__(self) -> FakeTorchServe:
        self._thread.__enter__()
        self.inference_port = self._thread.run(self._serve(self._inference()))
        self.management_port = self._thread.run(self._serve(self._management()))
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        self._thread.__exit__(*error)

    def stop(self) -> None:
        """Both ports refuse connections from now on."""
        for runner in self._runners:
            self._thread.run(runner.cleanup())
        self._runners.clear()

    _runners: list[web.AppRunner]

    async def _serve(self, app: web.Application) -> int:
        self._runners = [
            *getattr(self, "_runners", ()),
            runner := web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True),
        ]
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return int(runner.addresses[0][1])

    def _inference(self) -> web.Application:
        app = web.Application(client_max_size=2**27)
        app.router.add_post("/predictions/{model}", self._predict)
        app.router.add_post("/predictions/{model}/{version}", self._predict)
        return app

    def _management(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/token", self._make_key)
        app.router.add_get("/models", self._list)
        app.router.add_get("/models/{model}", self._describe)
        app.router.add_get("/models/{model}/{version}", self._describe)
        return app

    async def _predict(self, request: web.Request) -> web.Response:
        if self.keys and request.headers.get("Authorization") != f"Bearer {self.keys['inference']}":
            return _response(fault(400, "InvalidKeyException", "Token Authorization failed."))
        model, version = request.match_info["model"], request.match_info.get("version")
        versions = self.models.get(model)
        if versions is None:
            return _response(fault(404, "ModelNotFoundException", f"Model not found: {model}"))
        head, image = unpack(await request.read())
        name = version or self.defaults[model]
        if name not in versions:
            text = f"Model version: {name} does not exist for model: {model}"
            return _response(fault(404, "ModelVersionNotFoundException", text))
        if not versions[name]["workers"]:
            return _response(fault(503, "ServiceUnavailableException", NO_WORKER.format(model=model)))
        seen = Seen(model, version, head, image, dict(request.headers))
        self.seen.append(seen)
        answer = self.worker(seen)
        try:
            await asyncio.sleep(answer.delay_s)
        except asyncio.CancelledError:
            self.dropped += 1
            raise
        if answer.hang_up:
            assert request.transport is not None
            request.transport.close()
        return _response(answer)

    async def _list(self, request: web.Request) -> web.Response:
        if not self._may_manage(request):
            return _response(fault(400, "InvalidKeyException", "Token Authorization failed."))
        self.looks += 1
        limit, start = int(request.query.get("limit", 100)), int(request.query.get("next_page_token", 0))
        names = sorted(self.models)
        page: dict[str, Any] = {
            "models": [{"modelName": name, "modelUrl": f"{name}.mar"} for name in names[start : start + limit]]
        }
        if start + limit < len(names):
            page["nextPageToken"] = str(start + limit)
        return web.json_response(page)

    async def _make_key(self, request: web.Request) -> web.Response:
        self.made_keys.append((request.query["type"], request.headers.get("Authorization")))
        return web.json_response({}, status=200 if self.management_works else 401)

    async def _describe(self, request: web.Request) -> web.Response:
        if not self._may_manage(request):
            return _response(fault(400, "InvalidKeyException", "Token Authorization failed."))
        model, version = request.match_info["model"], request.match_info.get("version")
        versions = self.models.get(model)
        if versions is None:
            return _response(fault(404, "ModelNotFoundException", f"Model not found: {model}"))
        if version == "all":
            return web.json_response(list(versions.values()))
        entry = versions[version or self.defaults[model]]
        if request.query.get("customized") == "true":
            self.described += 1
            entry = {**entry, "customizedMetadata": self.cards[model]}
        return web.json_response([entry])

    def _may_manage(self, request: web.Request) -> bool:
        expected = f"Bearer {self.keys['management']}" if self.keys else None
        return self.management_works and (expected is None or request.headers.get("Authorization") == expected)


def _response(answer: FakeAnswer) -> web.Response:
    headers = {"Content-Type": answer.content_type, **answer.headers}
    return web.Response(status=answer.status, body=answer.body, headers=headers)
