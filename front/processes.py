"""Memory, files and processor time of the service's processes, read at scrape time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from threading import Lock

import psutil
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_FRESH_S = 1.0  # two Prometheus servers that scrape at once look only once
_LABELS = ("process", "model")
Kind = tuple[str, str]  # front, torchserve, worker or other; and the model of a worker


@dataclass(slots=True)
class Usage:
    """Of all processes of one kind."""

    resident_bytes: int = 0
    open_files: int = 0
    count: int = 0


class ProcessCollector(Collector):
    """The front, TorchServe and its workers: all share one session id, as the launcher starts them.

    Args:
        models: Says, by the number of its process, whose worker one is.
    """

    def __init__(self, models: Callable[[], Mapping[int, str]]) -> None:
        self._models = models
        self._lock = Lock()
        self._looked = -_FRESH_S
        self._usage: dict[Kind, Usage] = {}
        self._seconds: dict[int, float] = {}  # process to the processor time that is counted
        self._spent: dict[Kind, float] = {}

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            if time.monotonic() - self._looked >= _FRESH_S:
                self._look()
                self._looked = time.monotonic()
            usage, spent = dict(self._usage), dict(self._spent)
        resident = GaugeMetricFamily("weakseg_resident_memory_bytes", "Resident memory.", labels=_LABELS)
        files = GaugeMetricFamily("weakseg_open_fds", "Open file descriptors.", labels=_LABELS)
        processes = GaugeMetricFamily("weakseg_processes", "Processes that run.", labels=_LABELS)
        seconds = CounterMetricFamily("weakseg_cpu_seconds", "Processor time, user and system.", labels=_LABELS)
        for kind, found in usage.items():
            resident.add_metric(kind, found.resident_bytes)
            files.add_metric(kind, found.open_files)
            processes.add_metric(kind, found.count)
        for kind, total in spent.items():
            seconds.add_metric(kind, total)
        yield from (resident, files, processes, seconds)

    def _look(self) -> None:
        models = self._models()
        # Kinds that were there stay, at 0: a gauge that vanishes keeps its last value in Prometheus for minutes.
        usage = {kind: Usage() for kind in self._usage}
        seconds = {}
        for process in _members(os.getsid(0)):
            try:
                with process.oneshot():
                    kind = _kind(process, models)
                    times = process.cpu_times()
                    now = times.user + times.system
                    found = usage.setdefault(kind, Usage())
                    found.resident_bytes += process.memory_info().rss
                    found.open_files += process.num_fds()
                    found.count += 1
            except psutil.Error:  # it ended in between
                continue
            seconds[process.pid] = now
            counted = self._seconds.get(process.pid, 0.0)
            # Less than before: another process has the number now. When one began is no help: clocks are set.
            self._spent[kind] = self._spent.get(kind, 0.0) + (now - counted if now >= counted else now)
        self._usage, self._seconds = usage, seconds


def _members(session: int) -> Iterator[psutil.Process]:
    for pid in psutil.pids():
        try:
            if os.getsid(pid) == session:
                yield psutil.Process(pid)
        except (ProcessLookupError, PermissionError, psutil.Error):  # it ended, or is not ours
            continue


def _kind(process: psutil.Process, models: Mapping[int, str]) -> Kind:
    """Raises psutil.Error: it ended."""
    if process.pid in models:
        return "worker", models[process.pid]
    if process.pid == os.getpid() or process.pid == os.getppid():  # Granian's worker, and what restarts it
        return "front", ""
    command = process.cmdline()
    if "org.pytorch.serve.ModelServer" in command:
        return "torchserve", ""
    if any("model_service_worker" in argument for argument in command):  # it starts, or TorchServe gave it up
        return "worker", ""
    return "other", ""
