"""A span per request and one per stage, by OpenTelemetry: only where OTEL_EXPORTER_OTLP_ENDPOINT says where to.

Spans are made when a request is over, out of its log record and its worker's measurements: nothing has to be passed on
to workers, and without tracing nothing is done at all.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from front.health import PROBES
from front.logs import Record
from front.settings import SettingsError
from weakseg import __version__
from weakseg.telemetry import STAGES

if TYPE_CHECKING:  # of the extra `tracing`
    from opentelemetry.sdk.trace import TracerProvider

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_NS = 1_000_000_000


class Tracing:
    """Turns records into spans.

    Args:
        provider: Where spans go, with its sampler and exporters.
    """

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("weakseg", __version__)
        self._propagator = TraceContextTextMapPropagator()

    def trace(self, headers: list[tuple[bytes, bytes]], record: Record) -> None:
        """One request that is over; probes leave no trace.

        Args:
            headers: As ASGI has them; ``traceparent`` and ``tracestate`` name the caller's span.
        """
        if record.path in PROBES:
            return
        from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context

        carrier = {
            name.decode("latin-1"): text.decode("latin-1") for name, text in headers if name.startswith(b"trace")
        }
        end_ns = time.time_ns()
        start_ns = end_ns - round((time.perf_counter() - record.started) * _NS)
        route = record.path.strip("/").partition("/")[0]
        span = self._tracer.start_span(
            f"{record.method} /{route}" if record.model else record.method,
            self._propagator.extract(carrier),
            SpanKind.SERVER,
            _attributes(record),
            start_time=start_ns,
        )
        if record.status >= 500:
            span.set_status(StatusCode.ERROR, record.error)
        if span.is_recording():
            self._add_stages(record, set_span_in_context(span), start_ns, end_ns)
        span.end(end_ns)

    def _add_stages(self, record: Record, parent: Any, start_ns: int, end_ns: int) -> None:
        """End to end, up to the request's end: of a stage its length is measured, not when it began."""
        stages = record.telemetry.stages_s if record.telemetry else {}
        lengths = {name: round(stages[name] * _NS) for name in STAGES if name in stages and name != "total"}
        begin_ns = max(start_ns, end_ns - sum(lengths.values()))
        for name, length_ns in lengths.items():
            child = self._tracer.start_span(name, parent, start_time=begin_ns)
            begin_ns += length_ns
            child.end(begin_ns)

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


def check_environment(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether requests are to be traced.

    Raises:
        SettingsError: they are, but the extra is not installed.
    """
    if not environment.get(ENDPOINT):
        return False
    wanted = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
    if not all(map(_is_installed, wanted)):
        raise SettingsError(
            f"{ENDPOINT} is set, but OpenTelemetry is not installed. Install it (pip install 'weakseg[tracing]'), or "
            f"unset {ENDPOINT}."
        )
    return True


def from_environment(environment: Mapping[str, str] = os.environ) -> Tracing | None:
    """None where nothing is to be traced. OpenTelemetry reads its own OTEL_... variables.

    Raises:
        SettingsError: as `check_environment`.
    """
    if not check_environment(environment):
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    about = {"service.name": environment.get("OTEL_SERVICE_NAME", "weakseg"), "service.version": __version__}
    provider = TracerProvider(resource=Resource.create(about))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider)


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even its parent
        return False


def _attributes(record: Record) -> dict[str, str | int]:
    """By OpenTelemetry's names where it has some."""
    told = record.telemetry
    found: dict[str, str | int | None] = {
        "http.request.method": record.method,
        "http.response.status_code": record.status,
        "http.request.body.size": record.bytes_in,
        "http.response.body.size": record.bytes_out,
        "url.path": record.path[:200],
        "client.address": record.client,
        "error.type": record.error,
        "weakseg.request_id": record.request_id,
        "weakseg.model": record.model,
        "weakseg.version": record.version,
        "weakseg.method": told.method if told else None,
        "weakseg.refine": told.refine if told else None,
        "weakseg.batch_size": told.batch_size if told else None,
        "weakseg.worker": told.pid if told else None,
    }
    return {name: fact for name, fact in found.items() if fact not in (None, "")}
