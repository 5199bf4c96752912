"""The front's metrics, read as Prometheus reads them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from front import gpus, metrics, observation, processes
from front.bodies import Intake
from front.catalogue import Worker
from front.facts import FactCollector
from front.gpus import GpuCollector
from front.metrics import LOSSES, Metrics
from front.processes import ProcessCollector
from front.settings import Settings
from front.workers import DeathWatch, WorkerCollector
from tests.helpers.metrics import FakeCatalogue, models, read, registry_of_everything, version
from tests.helpers.threads import LoopThread
from weakseg.telemetry import Telemetry

TOLD = Telemetry({"queue": 0.004, "forward": 0.02, "total": 0.03}, "cam", "crf", 3, 0.25, 7)


@pytest.fixture
def thread() -> Iterator[LoopThread]:
    with LoopThread() as running:
        yield running


def test_a_request_is_counted_with_what_its_worker_told() -> None:
    counted = Metrics()
    counted.started("cat")
    assert read(counted.registry)['weakseg_requests_in_flight{model="cat"}'] == 1
    counted.answered("cat", 200, 0.042, TOLD)
    told = read(counted.registry)
    assert told['weakseg_requests_total{method="cam",model="cat",refine="crf",status="200"}'] == 1
    assert told['weakseg_requests_in_flight{model="cat"}'] == 0
    assert told['weakseg_request_duration_seconds_bucket{le="0.04",model="cat",status="2xx"}'] == 0
    assert told['weakseg_request_duration_seconds_bucket{le="0.05",model="cat",status="2xx"}'] == 1
    assert told['weakseg_stage_duration_seconds_sum{model="cat",stage="forward"}'] == 0.02
    assert told['weakseg_batch_size_sum{model="cat"}'] == 3
    assert told['weakseg_worker_busy_seconds_total{model="cat"}'] == 0.03
    assert told['weakseg_foreground_ratio_sum{model="cat"}'] == 0.25
    assert 'weakseg_stage_duration_seconds_count{model="cat",stage="refine"}' not in told, "it did not run"


def test_only_the_first_of_a_batch_tells_its_size() -> None:
    counted = Metrics()
    for told in (TOLD, Telemetry({}, "cam", "crf")):
        counted.started("cat")
        counted.answered("cat", 200, 0.1, told)
    assert read(counted.registry)['weakseg_batch_size_count{model="cat"}'] == 1


def test_what_no_worker_answered_has_no_method() -> None:
    counted = Metrics()
    counted.started("cat")
    counted.rejected("cat", "worker_died")
    counted.answered("cat", 503, 1.0, None)
    told = read(counted.registry)
    assert told['weakseg_requests_total{model="cat",status="503"}'] == 1
    assert told['weakseg_rejections_total{model="cat",reason="worker_died"}'] == 1
    assert told['weakseg_request_duration_seconds_count{model="cat",status="5xx"}'] == 1


@pytest.mark.parametrize(("foreground", "empty"), [(0.0, 1), (1e-6, 0), (None, 0)])
def test_masks_without_a_pixel_are_counted(foreground: float | None, empty: int) -> None:
    counted = Metrics()
    counted.know(["cat"])
    counted.started("cat")
    counted.answered("cat", 200, 0.1, Telemetry(foreground=foreground))
    told = read(counted.registry)
    assert told['weakseg_empty_masks_total{model="cat"}'] == empty
    assert told.get('weakseg_foreground_ratio_bucket{le="0.0",model="cat"}', 0) == empty


def test_what_alerts_look_at_counts_from_zero() -> None:
    counted = Metrics()
    counted.know(["cat"])
    told = read(counted.registry)
    for name in ("worker_deaths_total", "retries_total", "empty_masks_total", "requests_in_flight"):
        assert told[f'weakseg_{name}{{model="cat"}}'] == 0
    for reason in LOSSES:
        assert told[f'weakseg_rejections_total{{model="cat",reason="{reason}"}}'] == 0
        assert told[f'weakseg_rejections_total{{reason="{reason}"}}'] == 0
    counted.retried("cat")
    counted.know(["cat", "dog"])
    assert read(counted.registry)['weakseg_retries_total{model="cat"}'] == 1


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/predictions/cat/1.0", "predictions"), ("/v2/models/cat/infer", "v2"), ("/health", "health"),
        ("//predictions//x", "predictions"), ("/../../etc/passwd", "other"), ("/PREDICTIONS/x", "other"),
        ("/", "other"),
    ],
)  # fmt: skip
def test_routes_are_few_whatever_is_asked_for(path: str, route: str) -> None:
    counted = Metrics()
    counted.exchanged(path, 404, 10, 20)
    told = read(counted.registry)
    assert told[f'weakseg_http_requests_total{{route="{route}",status="404"}}'] == 1
    assert (told["weakseg_http_received_bytes_total"], told["weakseg_http_sent_bytes_total"]) == (10, 20)


def test_a_worker_that_died_is_counted_once_and_one_that_was_dismissed_is_not() -> None:
    died: list[str] = []
    watch = DeathWatch(died.append)
    first, second = Worker("9000", 11, True, False), Worker("9001", 12, True, False)
    looks = [
        (version(first, second), 0, "both start"),
        (version(first, Worker("9001", 12, False, False)), 1, "the second one's process ended"),
        (version(first, Worker("9001", 12, False, False)), 1, "it is still being replaced"),
        (version(first, Worker("9001", 13, False, False)), 1, "its successor loads the model"),
        (version(first, Worker("9001", 13, True, False)), 1, "it is back"),
        (version(Worker("9000", 14, True, False), Worker("9001", 13, True, False)), 2, "back before anybody looked"),
        (version(Worker("9000", 14, True, False)), 2, "scaled down"),
    ]
    for seen, deaths, why in looks:
        watch.look(models(seen))
        assert len(died) == deaths, why
    watch.look({})
    watch.look(models(version(Worker("9000", 15, True, False))))
    assert died == ["cat", "cat"], "a model that was removed and registered again lost nobody"


def test_workers_that_die_while_they_load_are_counted() -> None:
    died: list[str] = []
    watch = DeathWatch(died.append)
    for pid in (0, 21, 21, 0, 22, 23):  # 0: none yet, or no longer
        watch.look(models(version(Worker("9000", pid, False, False))))
    assert len(died) == 2, "21 and 22; 23 still tries"


def test_workers_and_queues_are_read_when_scraped(thread: LoopThread) -> None:
    catalogue = FakeCatalogue(
        version(Worker("9000", 11, True, False), Worker("9001", 12, False, False), waiting=5, room=95),
        version(model="dog", wanted=1),
    )
    registry = CollectorRegistry()
    registry.register(WorkerCollector(catalogue, thread.loop))  # type: ignore[arg-type]
    assert catalogue.looks == 0, "registering asks nobody"
    told = read(registry)
    assert catalogue.looks == 1
    assert told['weakseg_workers{model="cat",state="wanted"}'] == 2
    assert told['weakseg_workers{model="cat",state="ready"}'] == 1
    assert told['weakseg_workers{model="dog",state="ready"}'] == 0
    assert told['weakseg_queue_depth{model="cat"}'] == 5
    assert told['weakseg_queue_capacity{model="cat"}'] == 100
    assert told['weakseg_batch_slots{model="cat"}'] == 8
    assert told["weakseg_torchserve_up"] == 1
    about = 'default="true",demonstration="false",method="cam",model="cat",network="squeezenet1_1",version="1.0"'
    assert told[f"weakseg_model_info{{{about}}}"] == 1
    assert told['weakseg_model_info{default="true",model="dog",version="1.0"}'] == 1, "no worker told what it is"


def test_a_torchserve_that_hangs_does_not_hold_up_a_scrape(
    thread: LoopThread, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("front.workers._LOOK_S", 0.05)
    catalogue = FakeCatalogue(version(Worker("9000", 11, True, False)))
    catalogue.answers = catalogue.is_reachable = False
    registry = CollectorRegistry()
    registry.register(WorkerCollector(catalogue, thread.loop))  # type: ignore[arg-type]
    told = read(registry)
    assert told["weakseg_torchserve_up"] == 0
    assert told['weakseg_workers{model="cat",state="ready"}'] == 1, "the last that was heard"
    assert "did not say" in caplog.text


def test_looks_of_the_catalogue_feed_the_counters() -> None:
    counted = Metrics()
    look = observation.observe_workers(counted)
    look(models(version(Worker("9000", 11, True, False))))
    look(models(version(Worker("9000", 12, True, False))))
    assert read(counted.registry)['weakseg_worker_deaths_total{model="cat"}'] == 1


def test_processes_are_told_apart_and_their_time_never_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_FRESH_S", 0.0)
    # The session is that of this test: its children are seen.
    children = [
        subprocess.Popen([sys.executable, "-c", "sum(range(4_000_000)); print(flush=True); input()", *words],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for words in (["org.pytorch.serve.ModelServer"], ["model_service_worker.py"], ["worker of cat"])
    ]  # fmt: skip
    try:
        for child in children:
            assert child.stdout is not None
            child.stdout.readline()
        registry = CollectorRegistry()
        registry.register(ProcessCollector(lambda: {children[2].pid: "cat"}))
        before = read(registry)
        for kind in ('process="front"', 'process="torchserve"', 'process="worker"', 'model="cat",process="worker"'):
            assert before[f"weakseg_resident_memory_bytes{{{kind}}}"] > 1_000_000, kind
            assert before[f"weakseg_open_fds{{{kind}}}"] >= 3, kind
        of_cat = 'weakseg_cpu_seconds_total{model="cat",process="worker"}'
        assert before['weakseg_processes{model="cat",process="worker"}'] == 1
        assert before[of_cat] > 0
    finally:
        for child in children:
            child.communicate(b"\n")
    after = read(registry)
    assert after['weakseg_resident_memory_bytes{model="cat",process="worker"}'] == 0, "it is gone, and seen to be"
    assert after[of_cat] == before[of_cat]


def test_a_scrape_within_a_second_of_another_looks_only_once(monkeypatch: pytest.MonkeyPatch) -> None:
    collector = ProcessCollector(dict)
    assert list(collector.collect())
    monkeypatch.setattr(processes, "_members", lambda session: pytest.fail("it looked again"))
    assert list(collector.collect())


def test_gpus_are_told_by_device_and_left_out_where_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class FakeError(Exception):
        pass

    def lost() -> None:
        raise FakeError("no driver")

    fake = SimpleNamespace(
        NVMLError=FakeError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetMemoryInfo=lambda device: SimpleNamespace(used=10 + device, total=100),
        nvmlDeviceGetUtilizationRates=lambda device: SimpleNamespace(gpu=50 * device),
    )
    monkeypatch.setattr(gpus, "pynvml", fake)
    registry = CollectorRegistry()
    registry.register(GpuCollector())
    told = read(registry)
    assert told['weakseg_gpu_memory_used_bytes{device="1"}'] == 11
    assert told['weakseg_gpu_memory_bytes{device="0"}'] == 100
    assert told['weakseg_gpu_utilization_ratio{device="1"}'] == 0.5
    monkeypatch.setattr(fake, "nvmlInit", lost)
    assert list(GpuCollector().collect()) == []


def test_facts_and_limits() -> None:
    intake = Intake(Settings(max_in_flight=7))
    intake.requests, intake.bytes = 3, 1000
    registry = CollectorRegistry()
    registry.register(FactCollector(intake))
    told = read(registry)
    assert (told["weakseg_held_requests"], told["weakseg_held_requests_limit"]) == (3, 7)
    assert (told["weakseg_held_bytes"], told["weakseg_held_bytes_limit"]) == (1000, 536_870_912)
    (build,) = (name for name in told if name.startswith("weakseg_build_info"))
    assert 'version="0.1.0"' in build


def test_buckets_rise_and_reach_as_far_as_their_deadlines() -> None:
    for buckets in (metrics.STAGE_SECONDS, metrics.REQUEST_SECONDS, metrics.BATCH_SIZES, metrics.FOREGROUND):
        assert list(buckets) == sorted(set(buckets))
    assert metrics.STAGE_SECONDS[-1] == 60, "BATCH_DEADLINE_S"
    assert metrics.REQUEST_SECONDS[-1] == Settings().answer_timeout_s


def test_names_follow_the_conventions_of_prometheus(thread: LoopThread) -> None:
    families = list(text_string_to_metric_families(generate_latest(registry_of_everything(thread)).decode()))
    assert len(families) > 20
    for family in families:
        assert re.fullmatch(r"weakseg(_[a-z0-9]+)+", family.name), family.name
        assert family.documentation.endswith("."), family.name
        assert not re.search(r"_(ms|milliseconds|mb|percent|count|sum|bucket)$", family.name), family.name
        for sample in family.samples:
            labels = set(sample.labels) - {"le"}
            assert not labels & {"pid", "request_id", "client", "path", "token"}, "unbounded"
            if family.type == "counter":
                assert sample.name.endswith("_total"), sample.name
            if sample.name.endswith("_total"):
                assert family.type == "counter", sample.name


@pytest.mark.prometheus
def test_promtool_finds_no_fault_with_the_metrics(thread: LoopThread, promtool: Path) -> None:
    told = generate_latest(registry_of_everything(thread))
    done = subprocess.run([promtool, "check", "metrics"], input=told, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert (done.returncode, done.stdout) == (0, b"")
