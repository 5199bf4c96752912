"""Prometheus metrics of the whole service, held by the front's one process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from weakseg.telemetry import Telemetry

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2.5, 5, 10, 30, 60)


class Metrics:
    """What is counted, by whom it is asked for."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "weakseg_requests",
            "Requests that were answered.",
            ("model", "method", "refine", "status"),
            registry=self.registry,
        )
        self._latency = Histogram(
            "weakseg_request_duration_seconds",
            "From the last byte of a request to the first of its answer, at the front.",
            ("model",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._stages = Histogram(
            "weakseg_stage_duration_seconds",
            "What a worker spent on one request, stage by stage.",
            ("model", "stage"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._in_flight = Gauge("weakseg_requests_in_flight", "Requests under way.", ("model",), registry=self.registry)
        self._rejections = Counter(
            "weakseg_rejections",
            "Requests that no worker answered, by reason.",
            ("model", "reason"),
            registry=self.registry,
        )
        self._retries = Counter(
            "weakseg_retries",
            "Requests sent to a second worker, as the first one died.",
            ("model",),
            registry=self.registry,
        )

    def started(self, model: str) -> None:
        """A request for a model that exists has arrived whole."""
        self._in_flight.labels(model).inc()

    def answered(self, model: str, status: int, duration_s: float, telemetry: Telemetry | None) -> None:
        """The request that `started` is done; ``telemetry`` is None where no worker answered it."""
        self._in_flight.labels(model).dec()
        told = telemetry or Telemetry()
        self._requests.labels(model, told.method, told.refine, str(status)).inc()
        self._latency.labels(model).observe(duration_s)
        for stage, seconds in told.stages_s.items():
            self._stages.labels(model, stage).observe(seconds)

    def rejected(self, model: str, reason: str) -> None:
        """No worker answered. Args: model: "" where none was found; reason: the code of the error."""
        self._rejections.labels(model, reason).inc()

    def retried(self, model: str) -> None:
        self._retries.labels(model).inc()
