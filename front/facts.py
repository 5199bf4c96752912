"""What this service is, and what it takes at most: constants, as metrics."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator
from importlib import metadata

from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from front.bodies import Intake
from weakseg import __version__

_PACKAGES = {"torchserve": "torchserve", "torch": "torch", "onnxruntime": "onnxruntime-gpu"}


class FactCollector(Collector):
    """Versions, and how much of what the front may hold it does hold."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._build = {"version": __version__, "python": platform.python_version()}
        self._build |= {label: _version(package) for label, package in _PACKAGES.items()}

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("weakseg_build", "This software.", self._build)
        settings = self._intake.settings
        held = GaugeMetricFamily("weakseg_held_requests", "Requests with a body that the front has in hand.")
        held.add_metric((), self._intake.requests)
        held_bytes = GaugeMetricFamily("weakseg_held_bytes", "Bytes of their bodies.")
        held_bytes.add_metric((), self._intake.bytes)
        most = GaugeMetricFamily("weakseg_held_requests_limit", "weakseg_max_in_flight: more are sent back.")
        most.add_metric((), settings.max_in_flight)
        most_bytes = GaugeMetricFamily("weakseg_held_bytes_limit", "weakseg_max_bytes_in_flight: more are sent back.")
        most_bytes.add_metric((), settings.max_bytes_in_flight)
        yield from (held, held_bytes, most, most_bytes)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
