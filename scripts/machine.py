"""What this machine, or the container around this process, has to give: cores, memory, GPUs."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pynvml

_GROUPS = Path("/proc/self/cgroup")
_MOUNT = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Machine:
    """Args: cores: Whole ones, at least 1. memory_bytes: What may be used from now on. gpus: CUDA devices."""

    cores: int
    memory_bytes: int
    gpus: int = 0

    def __str__(self) -> str:
        cores = "1 core" if self.cores == 1 else f"{self.cores} cores"
        gpus = {0: "no GPU", 1: "1 GPU"}.get(self.gpus, f"{self.gpus} GPUs")
        return f"{cores}, {self.memory_bytes / 2**30:.1f} GiB of memory, {gpus}"


def look_at_machine() -> Machine:
    """The narrowest of what affinity, control groups and the machine itself allow."""
    groups = list(control_groups(_GROUPS, _MOUNT))
    cores = min(
        [float(len(os.sched_getaffinity(0))), *(quota for quota in map(cpu_quota, groups) if quota is not None)]
    )
    left = [bound for bound in map(memory_left, groups) if bound is not None]  # 0 is a bound, too
    memory = min([psutil.virtual_memory().available, *left])
    return Machine(max(1, math.floor(cores)), memory, count_gpus(os.environ))


def control_groups(groups: Path, mount: Path) -> Iterator[Path]:
    """Folders of the control groups that this process is in, each with all above it; versions 1 and 2.

    Inside a container the path that the kernel tells may be the host's, and its folder not there: then the mount's own
    root is the container's group.
    """
    lines = groups.read_text(encoding="utf-8").splitlines() if groups.exists() else []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for name in controllers.split(","):
            root = mount / name if name else mount
            folder = root / path.lstrip("/")
            yield from (place for place in (folder, *folder.parents) if place.is_relative_to(root) and place.is_dir())


def cpu_quota(group: Path) -> float | None:
    """Cores' worth of time that a control group may use; None: no bound."""
    words = _words(group / "cpu.max") or [*_words(group / "cpu.cfs_quota_us"), *_words(group / "cpu.cfs_period_us")]
    if len(words) != 2 or words[0] in ("max", "-1"):
        return None
    return int(words[0]) / int(words[1])


def memory_left(group: Path) -> int | None:
    """Bytes until a control group's limit; None: no limit. Page cache counts as free, as it gives way."""
    for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
        with suppress(ValueError, IndexError):
            allowed = int(_words(group / limit)[0])
            if allowed < 2**60:  # version 1 says "no limit" by a number beyond all memory
                return max(0, allowed - int(_words(group / used)[0]) + _page_cache(group))
    return None


def count_gpus(environment: Mapping[str, str]) -> int:
    """CUDA devices that workers will see; 0 where NVIDIA's driver is not there."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return 0
    try:
        found = int(pynvml.nvmlDeviceGetCount())
    finally:
        pynvml.nvmlShutdown()
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return found
    return min(found, len([name for name in visible.split(",") if name.strip() not in ("", "-1")]))


def _page_cache(group: Path) -> int:
    words = _words(group / "memory.stat")
    told = dict(zip(words[::2], words[1::2], strict=False))
    return int(told.get("inactive_file", told.get("total_inactive_file", 0)))


def _words(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError):
        return []
