"""Spans of requests, by OpenTelemetry's own exporter into memory."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import SpanKind, StatusCode

from front import tracing
from front.app import create_app
from front.logs import Log, Record
from front.settings import Settings, SettingsError
from front.tracing import ENDPOINT, Tracing
from weakseg.telemetry import Telemetry

CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADERS = [(b"host", b"x"), (b"traceparent", f"00-{CALLER[0]}-{CALLER[1]}-01".encode())]
TOLD = Telemetry(
    {"queue": 0.001, "decode": 0.002, "forward": 0.03, "encode": 0.004, "total": 0.05}, "cam", "crf", 3, 0.2, 7
)


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracer(exporter: InMemorySpanExporter) -> Tracing:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Tracing(provider)


def record(**facts: Any) -> Record:
    made = Record("an-id", "127.0.0.1", "POST", "/predictions/cat")
    made.started -= 0.1  # it took 100 ms
    for name, fact in ({"status": 200, "model": "cat", "version": "1.0", "telemetry": TOLD} | facts).items():
        setattr(made, name, fact)
    return made


def spans(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exporter.get_finished_spans()}


def nanoseconds(span: ReadableSpan) -> tuple[int, int]:
    assert span.start_time is not None
    assert span.end_time is not None
    return span.start_time, span.end_time


def test_a_request_is_a_child_of_its_caller_and_stages_are_its_children(
    tracer: Tracing, exporter: InMemorySpanExporter
) -> None:
    tracer.trace(HEADERS, record())
    found = spans(exporter)
    server = found.pop("POST /predictions")
    assert server.kind is SpanKind.SERVER
    assert server.parent is not None
    assert (f"{server.parent.trace_id:032x}", f"{server.parent.span_id:016x}") == CALLER
    assert list(found) == ["queue", "decode", "forward", "encode"]
    start, end = nanoseconds(server)
    assert end - start >= 100_000_000
    before = None
    for name, stage in found.items():
        assert stage.parent is not None
        assert stage.parent.span_id == server.context.span_id
        began, ended = nanoseconds(stage)
        assert ended - began == round(TOLD.stages_s[name] * 1e9)
        assert start <= began
        assert before in (None, began), "end to end"
        before = ended
    assert before == end
    attributes = dict(server.attributes or {})
    assert attributes["weakseg.model"] == "cat"
    assert attributes["weakseg.refine"] == "crf"
    assert attributes["weakseg.request_id"] == "an-id"
    assert attributes["http.response.status_code"] == 200
    assert "error.type" not in attributes


@pytest.mark.parametrize("parent", [b"", b"garbage", b"00-0-0-01"])
def test_without_a_valid_parent_a_trace_begins(tracer: Tracing, exporter: InMemorySpanExporter, parent: bytes) -> None:
    tracer.trace([(b"traceparent", parent)], record())
    assert spans(exporter)["POST /predictions"].parent is None


@pytest.mark.parametrize(
    ("status", "code"), [(200, StatusCode.UNSET), (400, StatusCode.UNSET), (503, StatusCode.ERROR)]
)
def test_errors_of_ours_are_errors(
    tracer: Tracing, exporter: InMemorySpanExporter, status: int, code: StatusCode
) -> None:
    tracer.trace([], record(status=status, error="worker_died" if status == 503 else None, telemetry=None))
    (span,) = exporter.get_finished_spans()
    assert span.status.status_code is code
    assert (span.attributes or {}).get("error.type") == ("worker_died" if status == 503 else None)


def test_names_are_few_and_probes_leave_no_span(tracer: Tracing, exporter: InMemorySpanExporter) -> None:
    tracer.trace([], record(path="/health", model=""))
    assert exporter.get_finished_spans() == ()
    tracer.trace([], record(path="/whatever/somebody/guesses", model="", status=404, telemetry=None))
    assert list(spans(exporter)) == ["POST"]


def test_what_is_not_sampled_is_not_made(exporter: InMemorySpanExporter) -> None:
    provider = TracerProvider(sampler=ParentBased(ALWAYS_OFF))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    Tracing(provider).trace([], record())
    assert exporter.get_finished_spans() == ()


def test_the_front_traces_what_passes_its_gate(tracer: Tracing, exporter: InMemorySpanExporter) -> None:
    app = create_app(Settings(), Log(), tracing=tracer)

    async def ask() -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": "/nothing", "raw_path": b"/nothing", "query_string": b""}
        await app(scope | {"headers": HEADERS, "asgi": {"version": "3.0"}, "root_path": ""}, receive, send)  # type: ignore[arg-type]
        return sent

    assert asyncio.run(ask())[0]["status"] == 404
    (span,) = exporter.get_finished_spans()
    assert f"{span.context.trace_id:032x}" == CALLER[0]
    assert (span.attributes or {})["error.type"] == "not_found"


def test_off_means_off() -> None:
    assert tracing.from_environment({}) is None
    code = "import sys, front.server; sys.exit(any(name.startswith('opentelemetry.sdk') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0, "its SDK is not even imported"


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"weakseg\[tracing\]"):
        tracing.from_environment({ENDPOINT: "http://127.0.0.1:4318"})


def test_spans_go_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = {ENDPOINT: "http://127.0.0.1:9", "OTEL_SERVICE_NAME": "pets"}
    for name, text in endpoint.items():
        monkeypatch.setenv(name, text)
    made = tracing.from_environment(endpoint)
    assert made is not None
    assert made._provider.resource.attributes["service.name"] == "pets"
    made.close()
