"""Whose CPU time a request costs: every process of a service, by what it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import psutil

from benchmarks.load import count_own_cpu
from benchmarks.samples import Round
from scripts.torchserve import Instance

Processes = Mapping[str, Sequence[psutil.Process]]  # by role

JAVA, WORKERS, FRONT, OTHERS = "TorchServe (Java)", "workers", "front", "other"


def processes_of(instance: Instance) -> dict[str, list[psutil.Process]]:
    """The processes of a running service by role; what starts later is not among them."""
    found: dict[str, list[psutil.Process]] = {}
    for process in instance.processes():
        found.setdefault(role_of(process.cmdline()), []).append(process)
    return found


def tree_of(pid: int, role: str) -> dict[str, list[psutil.Process]]:
    """A process with all that it started, as one role."""
    first = psutil.Process(pid)
    return {role: [first, *first.children(recursive=True)]}


def with_accounts(run: Callable[[], Round], processes: Processes) -> Round:
    """A round, with the CPU time that each role and the client took meanwhile."""
    before = _cpu_s(processes)
    made = count_own_cpu(run)
    after = _cpu_s(processes)
    return replace(made, cpu_s={**{role: after[role] - before[role] for role in processes}, **made.cpu_s})


def _cpu_s(processes: Processes) -> dict[str, float]:
    """Seconds, of user and kernel."""
    totals = {}
    for role, members in processes.items():
        times = [process.cpu_times() for process in members]
        totals[role] = sum(each.user + each.system for each in times)
    return totals


def role_of(command: Sequence[str]) -> str:
    """What a process of a service does, by its command line."""
    if "org.pytorch.serve.ModelServer" in command:
        return JAVA
    if any(part.endswith("model_service_worker.py") for part in command):
        return WORKERS
    return FRONT if "front" in command else OTHERS
