"""Which models TorchServe has, in which versions, with which workers: asked of its management API, again and again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from front.errors import NoWorkerError, UnavailableError, UnknownModelError, UnknownVersionError
from front.upstream import GoneError, Upstream

ABOUT = ("method", "network", "runtime", "device", "demonstration")  # what of a model's card is told of every version
POLL_S = 5.0
_POLL_UNREADY_S = 1.0  # while something is not as it should be
_STALE_S = 30.0  # after which what was seen last is no sign of health
_LEAST_S = 0.25  # between two looks, however many ask for models that are not there
_PAGE = 100  # models that the management API lists at once
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker process."""

    id: str
    pid: int
    ready: bool
    gpu: bool


@dataclass(frozen=True, slots=True)
class Version:
    """One version of one model, as TorchServe sees it."""

    model: str
    name: str
    archive: str
    workers: tuple[Worker, ...]
    min_workers: int
    max_workers: int
    batch_size: int
    response_timeout_s: float
    waiting: int  # requests in its queue
    room: int = 0  # for so many more there

    @property
    def ready_workers(self) -> int:
        return sum(worker.ready for worker in self.workers)


@dataclass(frozen=True, slots=True)
class Model:
    """One model: its versions by name, and which of them answers where none is asked for."""

    default: str
    versions: dict[str, Version] = field(default_factory=dict)


class Catalogue:
    """What there was at the last look.

    Args:
        management_key: The key of TorchServe's management API, or None.
        on_look: Is told what each look found.
        on_removed: Is told which versions, of which models, are no longer there.

    Attributes:
        is_reachable: Whether the last look succeeded.
    """

    def __init__(
        self,
        upstream: Upstream,
        management_key: Callable[[], str | None],
        on_look: Callable[[Mapping[str, Model]], None] = lambda _: None,
        on_removed: Callable[[set[tuple[str, str]]], None] = lambda _: None,
    ) -> None:
        self.is_reachable = False
        self._on_look, self._on_removed = on_look, on_removed
        self._upstream = upstream
        self._management_key = management_key
        self._models: dict[str, Model] = {}
        self._cards: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {}  # with the archive that it is of
        self._looked: float | None = None  # when the last look that succeeded began
        self._began = -_LEAST_S  # when the last look began
        self._next: asyncio.Task[None] | None = None
        self._asking: dict[tuple[str, str], asyncio.Task[dict[str, Any]]] = {}

    @property
    def age_s(self) -> float:
        """Since the last look began."""
        return time.monotonic() - self._began

    @property
    def is_loaded(self) -> bool:
        """Whether TorchServe was ever seen."""
        return self._looked is not None

    @property
    def is_current(self) -> bool:
        """Whether TorchServe was seen of late: one that hangs answers nobody, whatever workers it had."""
        return self._looked is not None and time.monotonic() - self._looked < _STALE_S

    def models(self) -> tuple[str, ...]:
        return tuple(self._models)

    def snapshot(self) -> Mapping[str, Model]:
        """All that was there at the last look; no later look changes it."""
        return self._models

    def default_version(self, model: str) -> str:
        """Raises UnknownModelError."""
        return self._model(model).default

    def versions(self, model: str) -> tuple[str, ...]:
        """Raises UnknownModelError."""
        return tuple(self._model(model).versions)

    def version(self, model: str, version: str | None = None) -> Version:
        """One version; the default one where none is named.

        Raises:
            UnknownModelError, UnknownVersionError: it was not there at the last look.
        """
        found = self._model(model)
        name = found.default if version is None else version
        if name not in found.versions:
            raise UnknownVersionError(model, name, tuple(found.versions))
        return found.versions[name]

    def workers(self, model: str, version: str | None = None) -> tuple[Worker, ...]:
        """As `version`."""
        return self.version(model, version).workers

    async def find(self, model: str, version: str | None) -> Version:
        """As `version`, but what was not there at the last look is looked for again.

        Raises:
            UnknownModelError, UnknownVersionError: there is no such thing.
            UnavailableError: TorchServe was never seen, and cannot be reached.
        """
        try:
            return self.version(model, version)
        except (UnknownModelError, UnknownVersionError):
            await self.refresh()
        self.check_loaded()
        return self.version(model, version)

    async def describe(self, model: str, version: str | None = None) -> dict[str, Any]:
        """What a worker says of its model (`weakseg.describe`); asked once per archive.

        Raises:
            UnknownModelError, UnknownVersionError: there is no such thing.
            NoWorkerError, UnavailableError: no worker answered.
        """
        found = await self.find(model, version)
        cached = self.card(found)
        if cached is not None:
            return cached
        if not found.ready_workers:
            raise NoWorkerError(model)
        return await asyncio.shield(self._ask_for_card(found))

    def card(self, version: Version) -> dict[str, Any] | None:
        """What a worker said of its model, where it was asked."""
        archive, card = self._cards.get((version.model, version.name), ("", None))
        return card if archive == version.archive else None

    def check_loaded(self) -> None:
        """Raises UnavailableError: TorchServe was never seen."""
        if not self.is_loaded:
            raise UnavailableError

    async def refresh(self) -> None:
        """A look that begins after this call. Those who wait for one share it."""
        if self._next is None:
            self._next = asyncio.create_task(self._look_soon())
        await asyncio.shield(self._next)

    async def follow(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self.refresh()
            self._ask_for_cards()
            await asyncio.sleep(POLL_S if self._is_ready() else _POLL_UNREADY_S)

    async def close(self) -> None:
        for task in self._asking.values():
            task.cancel()
        if self._next is not None:
            self._next.cancel()

    def _ask_for_cards(self) -> None:
        """Of versions whose workers are ready, in the background: a busy worker answers late."""
        for model in self._models.values():
            for version in model.versions.values():
                if version.ready_workers and self.card(version) is None:
                    self._ask_for_card(version)

    def _ask_for_card(self, version: Version) -> asyncio.Task[dict[str, Any]]:
        """Those who want the same card share one request for it."""
        key = (version.model, version.name)
        if key not in self._asking:
            task = asyncio.create_task(self._fetch_card(version))
            task.add_done_callback(lambda done: self._finish_asking(key, done))
            self._asking[key] = task
        return self._asking[key]

    def _finish_asking(self, key: tuple[str, str], task: asyncio.Task[dict[str, Any]]) -> None:
        del self._asking[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("%s %s does not describe itself: %s", *key, error)

    async def _fetch_card(self, version: Version) -> dict[str, Any]:
        path = f"/models/{quote(version.model, safe='')}/{quote(version.name, safe='')}?customized=true"
        (document,) = await self._upstream.manage(path, self._management_key(), timeout_s=60)
        card = document.get("customizedMetadata")
        if not isinstance(card, dict):
            raise UnavailableError(version.model)
        self._cards[version.model, version.name] = (version.archive, card)
        return card

    async def _look_soon(self) -> None:
        await asyncio.sleep(max(0.0, self._began + _LEAST_S - time.monotonic()))
        self._next = None  # who comes from here on waits for the next one
        self._began = began = time.monotonic()
        try:
            before, self._models = self._models, await self._look()
            self._looked = began
            self.is_reachable = True
            self._on_look(self._models)
            self._on_removed(_keys(before) - _keys(self._models))
        except UnavailableError:
            self.is_reachable = False
            if self.is_loaded:
                log.warning("the management API cannot be reached; models stay as they were")
        except Exception:  # a document of another shape: the next look may find a better one
            self.is_reachable = False
            log.exception("the management API was not understood; models stay as they were")

    async def _look(self) -> dict[str, Model]:
        names: list[str] = []
        token: str | None = "0"
        while token is not None:
            page = await self._upstream.manage(f"/models?limit={_PAGE}&next_page_token={token}", self._management_key())
            names += [entry["modelName"] for entry in page["models"]]
            token = page.get("nextPageToken")
        found = {}
        for name in names:
            try:
                found[name] = await self._look_at(name)
            except GoneError:  # in between
                continue
        gone = [key for key in self._cards if key[0] not in found or key[1] not in found[key[0]].versions]
        for key in gone:
            del self._cards[key]
        return found

    async def _look_at(self, model: str) -> Model:
        path = f"/models/{quote(model, safe='')}"
        (default,) = await self._upstream.manage(path, self._management_key())
        every = await self._upstream.manage(f"{path}/all", self._management_key())
        return Model(default["modelVersion"], {entry["modelVersion"]: _read(model, entry) for entry in every})

    def _model(self, model: str) -> Model:
        if model not in self._models:
            raise UnknownModelError(model, self.models())
        return self._models[model]

    def _is_ready(self) -> bool:
        versions = [version for model in self._models.values() for version in model.versions.values()]
        return self.is_loaded and all(each.ready_workers >= each.min_workers for each in versions)


def _keys(models: Mapping[str, Model]) -> set[tuple[str, str]]:
    return {(name, version) for name, model in models.items() for version in model.versions}


def _read(model: str, entry: dict[str, Any]) -> Version:
    workers = tuple(
        Worker(str(each["id"]), int(each.get("pid", 0)), each["status"] == "READY", bool(each.get("gpu")))
        for each in entry.get("workers", ())
    )
    return Version(
        model,
        entry["modelVersion"],
        entry.get("modelUrl", ""),
        workers,
        entry["minWorkers"],
        entry["maxWorkers"],
        entry["batchSize"],
        float(entry.get("responseTimeout", 0)),
        int(entry.get("jobQueueStatus", {}).get("pendingRequests", 0)),
        int(entry.get("jobQueueStatus", {}).get("remainingCapacity", 0)),
    )
