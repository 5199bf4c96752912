"""Workers, queues and models as metrics, out of the catalogue; and who of the workers died."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from front.catalogue import ABOUT, Catalogue, Model, Version

_LOOK_S = 2.0  # for which a scrape waits for TorchServe to say how its queues are
log = logging.getLogger(__name__)


class DeathWatch:
    """Tells dead workers from dismissed ones.

    TorchServe takes a worker that is scaled down off its list at once. One that died stays there under its id: first
    not ready, with the number of the process that is gone, then with another one, then ready. Each process is counted
    once, also one that ended while it loaded its model.

    Args:
        died: Is called with the model's name, once per death.
    """

    def __init__(self, died: Callable[[str], None]) -> None:
        self._died = died
        self._known: dict[tuple[str, str, str], _Process] = {}  # by model, version and worker

    def look(self, models: Mapping[str, Model]) -> None:
        """What the catalogue saw just now."""
        known = {}
        for version in _versions(models):
            for worker in version.workers:
                key = (version.model, version.name, worker.id)
                before = self._known.get(key)
                now = _Process(worker.pid, worker.ready, is_dead=False)
                if before is not None and before.is_over(now):
                    self._died(version.model)
                    log.warning("worker %s of %s (process %d) died", worker.id, version.model, before.pid)
                if before is not None and before.pid == now.pid and not now.ready and (before.ready or before.is_dead):
                    now = _Process(worker.pid, ready=False, is_dead=True)
                known[key] = now
        self._known = known


@dataclass(frozen=True, slots=True)
class _Process:
    """A worker's process, as it was last seen."""

    pid: int  # not above 0: there is none
    ready: bool
    is_dead: bool  # and counted

    def is_over(self, now: _Process) -> bool:
        """Whether it ended between two looks."""
        return self.pid > 0 and not self.is_dead and (now.pid != self.pid or (self.ready and not now.ready))


class WorkerCollector(Collector):
    """Gauges of what TorchServe says at scrape time; of its last words where it does not answer in time.

    Args:
        loop: Where the catalogue lives: scrapes come in threads of their own.
    """

    def __init__(self, catalogue: Catalogue, loop: asyncio.AbstractEventLoop) -> None:
        self._catalogue, self._loop = catalogue, loop

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        self._look()
        models = self._catalogue.snapshot()
        yield from _tell_workers(models)
        yield self._tell_models(models)
        up = GaugeMetricFamily("weakseg_torchserve_up", "Whether TorchServe's management API answered the last look.")
        up.add_metric((), float(self._catalogue.is_reachable))
        yield up

    def _tell_models(self, models: Mapping[str, Model]) -> Metric:
        labels = ("model", "version", "default", *ABOUT)
        told = GaugeMetricFamily("weakseg_model_info", "A version of a model that is served.", labels=labels)
        for version in _versions(models):
            card = self._catalogue.card(version) or {}
            default = models[version.model].default == version.name
            about = [_text(card.get(name, "")) for name in ABOUT]  # "" until a worker was asked
            told.add_metric((version.model, version.name, _text(default), *about), 1)
        return told

    def _look(self) -> None:
        try:
            asyncio.run_coroutine_threadsafe(self._catalogue.refresh(), self._loop).result(_LOOK_S)
        except (FutureTimeoutError, RuntimeError):  # RuntimeError: the loop is closed
            log.warning("TorchServe did not say within %g s how its workers are", _LOOK_S)


def _tell_workers(models: Mapping[str, Model]) -> Iterator[Metric]:
    wanted, ready, waiting, capacity, slots = (Counter[str]() for _ in range(5))
    for version in _versions(models):
        wanted[version.model] += version.min_workers
        ready[version.model] += version.ready_workers
        waiting[version.model] += version.waiting
        capacity[version.model] += version.waiting + version.room
        slots[version.model] += version.ready_workers * version.batch_size
    workers = GaugeMetricFamily(
        "weakseg_workers", "Workers: those that were asked for, and those that answer.", labels=("model", "state")
    )
    queue = GaugeMetricFamily(
        "weakseg_queue_depth", "Requests in TorchServe's queue: no worker has them yet.", labels=("model",)
    )
    most = GaugeMetricFamily(
        "weakseg_queue_capacity", "job_queue_size: so many may wait, further ones are sent back.", labels=("model",)
    )
    room = GaugeMetricFamily(
        "weakseg_batch_slots", "Requests that all ready workers together take at a time.", labels=("model",)
    )
    for model in models:
        workers.add_metric((model, "wanted"), wanted[model])
        workers.add_metric((model, "ready"), ready[model])
        queue.add_metric((model,), waiting[model])
        most.add_metric((model,), capacity[model])
        room.add_metric((model,), slots[model])
    yield from (workers, queue, most, room)


def _text(fact: object) -> str:
    return str(fact).lower() if isinstance(fact, bool) else str(fact)


def _versions(models: Mapping[str, Model]) -> Iterator[Version]:
    for model in models.values():
        yield from model.versions.values()
