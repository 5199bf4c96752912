"""The real service with two workers, watched by a real Prometheus: counts, a killed worker, every query and rule."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from scripts import grafana, monitor, prometheus
from scripts.dashboard import Source, Span
from scripts.monitor import Monitor
from tests.helpers.http import post, send
from tests.helpers.launcher import Launcher, free_ports
from tests.helpers.photos import cat_photo
from tests.observability.test_rules import ALERTS, read_rules

pytestmark = pytest.mark.prometheus
NO_GPU = ("GPU memory", "GPU load")
PHOTO = cat_photo()


@dataclass
class Watched:
    """The service, its Prometheus, and what was answered so far."""

    launcher: Launcher
    prometheus: Monitor
    answered: Counter[str] = field(default_factory=Counter)  # by status, of requests for a model that exists
    began: float = field(default_factory=time.time)

    def ask(self, model: str = "tiny_cam", body: bytes = PHOTO, **headers: str) -> int:
        status = post(f"{self.launcher.url}/predictions/{model}", body, **headers).status
        if model == "tiny_cam":
            self.answered[str(status)] += 1
        return status

    def value(self, query: str) -> float | None:
        """Of a query with one series; None where there is none."""
        found = self.prometheus.ask("query", query=query)["result"]
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else None

    def counts(self) -> dict[str, int]:
        found = self.prometheus.ask("query", query="sum by (status) (weakseg_requests_total) > 0")["result"]
        return {one["metric"]["status"]: int(float(one["value"][1])) for one in found}

    def wait_for(self, what: Callable[[], Any], expected: Any, timeout_s: float = 240) -> None:
        """Prometheus looks every second: what it says comes a little later."""
        deadline = time.monotonic() + timeout_s
        while (found := what()) != expected:
            assert time.monotonic() < deadline, f"{found}, not {expected}"
            time.sleep(0.3)


@pytest.fixture(scope="module")
def watched(tiny_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    try:
        prometheus.get("prometheus")
    except prometheus.ToolError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("watched")
    launcher = Launcher(folder / "store", folder / "state", free_ports())
    launcher.store.mkdir()
    shutil.copy(tiny_archive, launcher.store)
    started = launcher.run("--detach", "--no-build", "--models", "tiny_cam", "--workers", "tiny_cam=2")
    assert started.returncode == 0, started.stdout
    running = None
    try:
        target = f"127.0.0.1:{launcher.port + 2}"
        running = monitor.start(folder / "monitor", port=free_ports(1), target=target, interval_s=1)
        watching = Watched(launcher, running)
        watching.wait_for(lambda: watching.value('weakseg_workers{state="ready"}'), 2)
        yield watching
    finally:
        if running is not None:
            monitor.stop(running)
        assert launcher.run("--stop").returncode == 0


def test_prometheus_counts_what_was_sent(watched: Watched) -> None:
    statuses = [watched.ask() for _ in range(6)]
    statuses += [watched.ask(X_Weakseg_Refine="crf", X_Weakseg_Format="json") for _ in range(3)]
    statuses += [watched.ask(X_Weakseg_Classes="unicorn") for _ in range(4)]
    statuses += [watched.ask(body=b"no picture") for _ in range(2)]
    assert statuses == [200] * 9 + [400] * 4 + [415] * 2
    assert [watched.ask("no_such_model") for _ in range(3)] == [404] * 3
    watched.wait_for(watched.counts, {"200": 9, "400": 4, "415": 2})
    watched.wait_for(lambda: watched.value('sum(weakseg_rejections_total{reason="model_unknown"})'), 3)
    of_http = 'sum(weakseg_http_requests_total{route="predictions"})'
    assert watched.value(of_http) == 18
    assert watched.value('sum(weakseg_requests_total{refine="crf",method="cam",status="200"})') == 3
    assert watched.value('weakseg_stage_duration_seconds_count{stage="total"}') == 15, "wrong requests, too"
    assert watched.value('weakseg_stage_duration_seconds_count{stage="forward"}') == 9
    assert watched.value("weakseg_batch_size_sum") == 15, "one of each batch tells its size"
    assert watched.value("weakseg_foreground_ratio_count") == 9
    assert watched.value('sum(weakseg_processes{process="worker",model="tiny_cam"})') == 2


def test_a_killed_worker_takes_no_count_with_it(watched: Watched) -> None:
    before = sum(watched.answered.values())
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(watched.ask) for _ in range(60)]
        (described,) = send("GET", f"{watched.launcher.management_url}/models/tiny_cam").json
        os.kill(described["workers"][0]["pid"], signal.SIGKILL)
        statuses = Counter(future.result() for future in asked)
    assert set(statuses) <= {200, 503}, "lost requests were sent again, or may be"
    assert sum(watched.answered.values()) == before + 60
    watched.wait_for(watched.counts, dict(watched.answered))
    watched.wait_for(lambda: watched.value("weakseg_worker_deaths_total"), 1)
    assert watched.value("weakseg_requests_in_flight") == 0
    watched.wait_for(lambda: watched.value('ALERTS{alertname="WeaksegWorkerDied",alertstate="firing"}'), 1)
    watched.wait_for(lambda: watched.value('weakseg_workers{state="ready"}'), 2)
    assert watched.ask() == 200
    watched.wait_for(watched.counts, dict(watched.answered))
    for counter in ("weakseg_requests_total", "weakseg_stage_duration_seconds_count", "weakseg_cpu_seconds_total"):
        assert watched.value(f"sum(resets({counter}[10m]))") == 0, counter


def test_every_panel_of_the_dashboard_shows_something(watched: Watched) -> None:
    now = time.time()
    source = Source(watched.prometheus.url, Span(watched.began, now, 1))
    panels = [panel for panel in grafana.read_panels() if panel.kind != "row"]
    found = {panel.title: sum(len(source.series(query)) for query in panel.queries) for panel in panels}
    assert [title for title, series in found.items() if not series] in ([], [*NO_GPU])


def test_every_rule_is_evaluated(watched: Watched) -> None:
    for name, rule in ALERTS.items():
        assert watched.prometheus.ask("query", query=rule["expr"])["resultType"] == "vector", name
    silent = [name for name in read_rules("record") if not watched.prometheus.ask("query", query=name)["result"]]
    assert silent == []
    groups = watched.prometheus.ask("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == len(ALERTS) + len(read_rules("record"))
    assert [rule["name"] for rule in rules if rule["health"] != "ok"] == []
