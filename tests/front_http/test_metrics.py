"""The front's metrics, read as Prometheus reads them."""

from __future__ import annotations

from prometheus_client import generate_latest

from front.metrics import Metrics
from weakseg.telemetry import Telemetry


def test_a_request_is_counted_with_what_its_worker_told() -> None:
    metrics = Metrics()
    metrics.started("weakseg")
    metrics.answered("weakseg", 200, 0.25, Telemetry({"forward": 0.02}, "cam", "crf"))
    told = generate_latest(metrics.registry).decode()
    assert 'weakseg_requests_total{method="cam",model="weakseg",refine="crf",status="200"} 1.0' in told
    assert 'weakseg_requests_in_flight{model="weakseg"} 0.0' in told
