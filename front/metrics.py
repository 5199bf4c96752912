"""Prometheus metrics of the whole service, held by the front's one process: no worker's death loses a count.

What happens is counted here, as it happens. What *is* (workers, queues, memory) is read at scrape time by collectors:
`front.workers`, `front.processes`, `front.gpus`, `front.facts`. docs/observability.md explains every name.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from weakseg.telemetry import Telemetry

# From the quickest stage that is worth a look to BATCH_DEADLINE_S of the pipeline; steps of 1.5 where requests are.
STAGE_SECONDS = (
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75,
    1, 1.5, 2, 3, 5, 10, 20, 40, 60,
)  # fmt: skip
# From the quickest answer of a network to weakseg_answer_timeout_s.
REQUEST_SECONDS = (
    0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.125, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75,
    1, 1.5, 2, 3, 5, 10, 20, 30, 60, 120, 150,
)  # fmt: skip
BATCH_SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64)
FOREGROUND = (0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1)  # 0: empty masks

ROUTES = ("predictions", "explanations", "v1", "v2", "models", "health", "ping", "openapi.json")
# Reasons that alerts and the dashboard look at: they count from 0, or the first one would not be seen as an increase.
LOSSES = ("busy", "queue_full", "no_worker", "worker_died", "worker_timeout", "out_of_memory", "unavailable")


disable_created_metrics()  # type: ignore[no-untyped-call]  # else: a second series for each counter


class Metrics:
    """What is counted, by whom it is asked for."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._known: set[str] = set()

        def counter(name: str, says: str, *labels: str) -> Counter:
            return Counter(name, says, labels, registry=self.registry)

        def histogram(name: str, says: str, buckets: Iterable[float], *labels: str) -> Histogram:
            return Histogram(name, says, labels, buckets=tuple(buckets), registry=self.registry)

        self._requests = counter(
            "weakseg_requests",
            "Photos that a model was asked about, by the method and refinement of the answer and its HTTP status.",
            "model", "method", "refine", "status",
        )  # fmt: skip
        self._duration = histogram(
            "weakseg_request_duration_seconds",
            "From the last byte of a request to the first of its answer, at the front, by class of status.",
            REQUEST_SECONDS, "model", "status",
        )  # fmt: skip
        self._stages = histogram(
            "weakseg_stage_duration_seconds",
            "What one request spent in each stage, as its worker measured it.",
            STAGE_SECONDS, "model", "stage",
        )  # fmt: skip
        self._batches = histogram(
            "weakseg_batch_size", "Requests in each batch that a worker was given.", BATCH_SIZES, "model"
        )
        self._busy = counter(
            "weakseg_worker_busy_seconds", "Time for which workers had a batch in hand, summed over workers.", "model"
        )
        self._foreground = histogram(
            "weakseg_foreground_ratio", "Share of a photo's pixels that are not background.", FOREGROUND, "model"
        )
        self._empty = counter("weakseg_empty_masks", "Masks without a single pixel of foreground.", "model")
        self._in_flight = Gauge(
            "weakseg_requests_in_flight", "Photos whose answer is under way.", ("model",), registry=self.registry
        )
        self._rejections = counter(
            "weakseg_rejections", "Requests that no worker answered, by reason.", "model", "reason"
        )
        self._retries = counter(
            "weakseg_retries", "Requests sent to a second worker, as the first one was lost.", "model"
        )
        self._deaths = counter("weakseg_worker_deaths", "Workers that ended without being asked to.", "model")
        self._exchanges = counter(
            "weakseg_http_requests", "HTTP requests of any kind, by the first part of their path.", "route", "status"
        )
        self._received = counter("weakseg_http_received_bytes", "Bytes of requests' bodies.")
        self._sent = counter("weakseg_http_sent_bytes", "Bytes of answers' bodies.")
        for reason in LOSSES:
            self._rejections.labels("", reason)

    def know(self, models: Iterable[str]) -> None:
        """Count from 0 for these models: what appears with a 1 is no increase to Prometheus."""
        for model in set(models) - self._known:
            self._known.add(model)
            for metric in (self._in_flight, self._empty, self._retries, self._deaths, self._busy):
                metric.labels(model)
            for reason in LOSSES:
                self._rejections.labels(model, reason)

    def started(self, model: str) -> None:
        """A request for a model that exists has arrived whole."""
        self._in_flight.labels(model).inc()

    def answered(self, model: str, status: int, duration_s: float, telemetry: Telemetry | None) -> None:
        """The request that `started` is done; ``telemetry`` is None where no worker answered it."""
        self._in_flight.labels(model).dec()
        told = telemetry or Telemetry()
        self._requests.labels(model, told.method, told.refine, str(status)).inc()
        self._duration.labels(model, f"{status // 100}xx").observe(duration_s)
        for stage, seconds in told.stages_s.items():
            self._stages.labels(model, stage).observe(seconds)
        if told.batch_size is not None:
            self._batches.labels(model).observe(told.batch_size)
            self._busy.labels(model).inc(told.stages_s.get("total", 0.0))  # the same for all requests of a batch
        if told.foreground is not None:
            self._foreground.labels(model).observe(told.foreground)
            if told.foreground == 0:
                self._empty.labels(model).inc()

    def rejected(self, model: str, reason: str) -> None:
        """No worker answered. Args: model: "" where none was found; reason: the code of the error."""
        self._rejections.labels(model, reason).inc()

    def retried(self, model: str) -> None:
        self._retries.labels(model).inc()

    def died(self, model: str) -> None:
        """A worker ended without being asked to."""
        self._deaths.labels(model).inc()

    def exchanged(self, path: str, status: int, received: int, sent: int) -> None:
        """One HTTP request and its answer are over; ``received`` and ``sent`` are bytes of their bodies."""
        first = path.strip("/").partition("/")[0]
        self._exchanges.labels(first if first in ROUTES else "other", str(status)).inc()
        self._received.inc(received)
        self._sent.inc(sent)
