"""What NVIDIA's GPUs of this machine do while something runs: nothing where there is none."""

from __future__ import annotations

import statistics
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pynvml

EVERY_S = 0.2


@dataclass(slots=True)
class GpuUse:
    """Samples of all GPUs together, one every EVERY_S."""

    utilisation: list[float] = field(default_factory=list)  # percent of the time that some kernel ran, mean over GPUs
    memory_mb: list[float] = field(default_factory=list)  # in use on all GPUs, by whomever

    def figures(self) -> dict[str, float | None]:
        """For a table; None where there is no GPU."""
        return {
            "GPU %": statistics.mean(self.utilisation) if self.utilisation else None,
            "GPU MB": max(self.memory_mb) if self.memory_mb else None,
        }


def describe_gpus() -> str:
    """Their names and memory, or that there is none."""
    with _gpus() as gpus:
        each = [
            f"{pynvml.nvmlDeviceGetName(gpu)}, {pynvml.nvmlDeviceGetMemoryInfo(gpu).total // 2**20} MB" for gpu in gpus
        ]
    return "; ".join(each) or "none: what follows was measured on the CPU"


@contextmanager
def watch_gpus() -> Iterator[GpuUse]:
    """Sample while the block runs."""
    use, ended = GpuUse(), threading.Event()
    with _gpus() as gpus:
        watcher = threading.Thread(target=_sample, args=(gpus, use, ended), daemon=True)
        if gpus:
            watcher.start()
        try:
            yield use
        finally:
            ended.set()
            if gpus:
                watcher.join()


def _sample(gpus: list[pynvml.c_nvmlDevice_t], use: GpuUse, ended: threading.Event) -> None:
    while not ended.wait(EVERY_S):
        use.utilisation.append(statistics.mean(pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu for gpu in gpus))
        use.memory_mb.append(sum(pynvml.nvmlDeviceGetMemoryInfo(gpu).used for gpu in gpus) / 2**20)


@contextmanager
def _gpus() -> Iterator[list[pynvml.c_nvmlDevice_t]]:
    """Handles of all; empty where there is no driver."""
    try:
        pynvml.nvmlInit()
    except (pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_DriverNotLoaded):
        yield []
        return
    try:
        yield [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
    finally:
        pynvml.nvmlShutdown()
