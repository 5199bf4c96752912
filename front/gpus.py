"""GPU memory and load by device, read at scrape time; nothing where there is no GPU."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any

import pynvml
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

log = logging.getLogger(__name__)


class GpuCollector(Collector):
    """NVIDIA's devices."""

    def __init__(self) -> None:
        self._devices = _find_devices()

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        if not self._devices:
            return
        used = GaugeMetricFamily("weakseg_gpu_memory_used_bytes", "Memory in use, by anybody.", labels=("device",))
        whole = GaugeMetricFamily("weakseg_gpu_memory_bytes", "Memory of the device.", labels=("device",))
        busy = GaugeMetricFamily("weakseg_gpu_utilization_ratio", "Share of time with a kernel.", labels=("device",))
        for name, device in self._devices.items():
            try:
                memory = pynvml.nvmlDeviceGetMemoryInfo(device)
                load = pynvml.nvmlDeviceGetUtilizationRates(device)
            except pynvml.NVMLError as error:  # the device is gone, or its driver cannot say
                log.warning("GPU %s does not say how it is: %s", name, error)
                continue
            used.add_metric((name,), float(memory.used))
            whole.add_metric((name,), float(memory.total))
            busy.add_metric((name,), load.gpu / 100)
        yield from (used, whole, busy)


def _find_devices() -> dict[str, Any]:
    """Number of each device to its handle; empty without a GPU or its driver."""
    try:
        pynvml.nvmlInit()
        return {str(index): pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())}
    except pynvml.NVMLError:
        return {}
