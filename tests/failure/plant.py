"""The running service as an operator sees it: its processes, its counters, its logs."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from prometheus_client.parser import text_string_to_metric_families

from tests.helpers.http import Reply, send
from tests.helpers.launcher import Launcher

EVERY_S = 0.25  # between two looks


@dataclass(frozen=True)
class Plant:
    """A service of this folder's own."""

    launcher: Launcher
    session: int

    @property
    def port(self) -> int:
        return self.launcher.port

    def url(self, model: str) -> str:
        return f"{self.launcher.url}/predictions/{model}"

    def manage(self, method: str, path: str) -> Reply:
        """Ask the management API: ``/models...``."""
        return send(method, f"{self.launcher.management_url}{path}")

    def scale(self, model: str, workers: int) -> None:
        """To exactly so many workers, ready when this returns."""
        reply = self.manage("PUT", f"/models/{model}?min_worker={workers}&max_worker={workers}&synchronous=true")
        assert reply.status == 200, reply.body
        self.wait_for_workers(model, workers)

    def describe(self, model: str) -> dict[str, Any]:
        reply = self.manage("GET", f"/models/{model}")
        assert reply.status == 200, reply.body
        return dict(reply.json[0])

    def ready_workers(self, model: str) -> list[int]:
        """Process ids of the workers that are ready, and alive."""
        workers = self.describe(model)["workers"]
        return sorted(w["pid"] for w in workers if w["status"] == "READY" and psutil.pid_exists(w["pid"]))

    def processes(self) -> dict[str, list[psutil.Process]]:
        """All that lives of it, by kind: front, java, worker, other."""
        found: dict[str, list[psutil.Process]] = {"front": [], "java": [], "worker": [], "other": []}
        for process in psutil.process_iter():
            try:
                if _session_of(process) == self.session and process.status() != psutil.STATUS_ZOMBIE:
                    found[_kind_of(process)].append(process)
            except psutil.NoSuchProcess:
                continue
        return found

    def resident_mb(self) -> dict[str, float]:
        """Resident memory by kind, MB."""
        found = self.processes()
        return {kind: sum(p.memory_info().rss for p in found[kind]) / 1e6 for kind in ("front", "java", "worker")}

    def count(self, name: str, **labels: str) -> float:
        """A metric's value, summed over the labels that are not given; 0 where there is none yet."""
        text = send("GET", f"http://127.0.0.1:{self.port + 2}/metrics").body.decode()
        samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
        return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())

    def log_lines(self) -> list[dict[str, Any]]:
        """The front's lines, one per request."""
        path = self.launcher.state / "logs" / "requests.log"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("{")]

    def log_of(self, request_id: str) -> dict[str, Any]:
        """The one line of a request; it may be written a moment after the answer."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            found[:] = [line for line in self.log_lines() if line.get("request_id") == request_id]
            return bool(found)

        wait_until(look, f"a log line of request {request_id}", looks=40)
        assert len(found) == 1, found
        return found[0]

    def wait_for_workers(self, model: str, count: int, *, without: int | None = None) -> list[int]:
        """Until ``count`` workers are ready; ``without``: a process id that must not be among them."""

        def is_back() -> bool:
            pids = self.ready_workers(model)
            return len(pids) == count and without not in pids

        wait_until(is_back, f"{count} workers of {model}")
        return self.ready_workers(model)


def wait_until(is_so: Callable[[], bool], what: str, looks: int = 400) -> None:
    """Look again and again, a bounded number of times."""
    for _ in range(looks):
        if is_so():
            return
        time.sleep(EVERY_S)
    raise AssertionError(f"not within {looks} looks: {what}")


def read_log(plant: Plant, name: str) -> str:
    path: Path = plant.launcher.state / "logs" / name
    return path.read_text(encoding="utf-8", errors="replace")


def _session_of(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except (ProcessLookupError, PermissionError):
        return None


def _kind_of(process: psutil.Process) -> str:
    command = " ".join(process.cmdline())
    if "model_service_worker.py" in command:
        return "worker"
    if "org.pytorch.serve.ModelServer" in command:
        return "java"
    return "front" if "-m front" in command or "granian" in command else "other"
