"""How many workers, batches and threads a machine is given: pure functions of the machine and the models.

On a CPU workers x threads of all models together never exceed the cores (one worker each at least). On a GPU a model
has a worker per GPU; the cores are shared out as threads, since refinement runs there. ``--workers`` decides where
it is given. Batch size and delay are the archives': TorchServe takes theirs, whatever its configuration says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scripts.machine import Machine
from weakseg.archive import open_archive, read_config
from weakseg.errors import ModelError

WORKER_BYTES = 800 * 2**20  # as seen: 650 to 800 MB (weakseg_resident_memory_bytes)
BASE_BYTES = 1000 * 2**20  # Java with its heap, and the front


@dataclass(frozen=True, slots=True)
class Model:
    """What sizing has to know of an archive."""

    name: str
    version: str
    threads: int  # of one worker, as its card says
    batch_size: int
    max_batch_delay_ms: int
    response_timeout_s: int


@dataclass(frozen=True, slots=True)
class Share:
    """What one model gets."""

    model: Model
    workers: int
    batch_size: int
    max_batch_delay_ms: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What every model gets, and why.

    Args:
        threads: Of every worker, in the place of what its card says; None: as the card says.
        reason: One line for people.
    """

    shares: tuple[Share, ...]
    threads: int | None
    reason: str

    @property
    def workers(self) -> dict[str, int]:
        return {share.model.name: share.workers for share in self.shares}

    def as_property(self) -> str:
        """The value of TorchServe's setting ``models``."""
        document = {share.model.name: {share.model.version: _settings(share)} for share in self.shares}
        return json.dumps(document, separators=(",", ":"))


def read_model(archive: Path) -> Model:
    """What an archive says of itself; of what it does not say, TorchServe's own defaults.

    Raises:
        ModelError: it is no archive of ours.
    """
    card, config = open_archive(archive).card, read_config(archive)
    return Model(
        name=archive.stem,
        version=card.version,
        threads=card.threads,
        batch_size=config.get("batchSize") or 1,
        max_batch_delay_ms=config.get("maxBatchDelay") or 100,
        response_timeout_s=config.get("responseTimeout") or 120,
    )


def make_plan(machine: Machine, models: Sequence[Model], wanted: Mapping[str, int] | None = None) -> Plan:
    """Share a machine out among models.

    Args:
        wanted: Workers by model, where somebody has decided; they count as taken.
    """
    wanted = wanted or {}
    plan = _on_gpus if machine.gpus else _on_cores
    made = plan(machine, models, wanted)
    return replace(made, reason=f"{machine}: {_describe(made)}{_doubts(machine, made)}")


def read_workers(text: str, models: Sequence[str]) -> dict[str, int]:
    """``--workers``: a number for every model, or ``name=N,name=N``.

    Raises:
        ModelError: no whole number from 1 on, or a model that is not served.
    """
    pairs = [part.strip().rpartition("=") for part in text.split(",")]
    if len(pairs) == 1 and not pairs[0][0]:
        pairs = [(name, "=", pairs[0][2]) for name in models]
    read = {}
    for name, _, number in pairs:
        if name not in models:
            raise ModelError(f"--workers {text}: {name or number!r} is none of {', '.join(models)}.")
        if not number.isascii() or not number.isdecimal() or int(number) < 1:
            raise ModelError(f"--workers {text}: {number!r} is no whole number from 1 on. Write --workers {name}=2.")
        read[name] = int(number)
    return read


def _on_cores(machine: Machine, models: Sequence[Model], wanted: Mapping[str, int]) -> Plan:
    workers = {model.name: wanted.get(model.name, 1) for model in models}
    free = [model for model in models if model.name not in wanted]
    most = (machine.memory_bytes - BASE_BYTES) // WORKER_BYTES
    grown = True
    while grown:  # one more for each in turn, as long as there is room for one
        grown = False
        for model in free:
            taken = sum(workers[other.name] * other.threads for other in models)
            if taken + model.threads <= machine.cores and sum(workers.values()) < most:
                workers[model.name] += 1
                grown = True
    shares = [Share(model, workers[model.name], model.batch_size, model.max_batch_delay_ms) for model in models]
    taken = sum(share.workers * share.model.threads for share in shares)
    narrower = max(1, machine.cores // sum(workers.values()))
    return Plan(tuple(shares), narrower if taken > machine.cores and _are_wider(models, narrower) else None, "")


def _are_wider(models: Sequence[Model], threads: int) -> bool:
    return any(model.threads > threads for model in models)


def _on_gpus(machine: Machine, models: Sequence[Model], wanted: Mapping[str, int]) -> Plan:
    shares = [
        Share(
            model,
            wanted.get(model.name, machine.gpus),
            model.batch_size,
            model.max_batch_delay_ms,
        )
        for model in models
    ]
    return Plan(tuple(shares), max(1, machine.cores // sum(share.workers for share in shares)), "")


def _settings(share: Share) -> dict[str, Any]:
    return {
        "defaultVersion": True,
        "marName": f"{share.model.name}.mar",
        "minWorkers": share.workers,
        "maxWorkers": share.workers,
        "batchSize": share.batch_size,
        "maxBatchDelay": share.max_batch_delay_ms,
        "responseTimeout": share.model.response_timeout_s,
    }


def _describe(plan: Plan) -> str:
    parts = [
        f"{share.model.name} gets {share.workers} worker{'s' if share.workers > 1 else ''} x "
        f"{plan.threads or share.model.threads} thread{'s' if (plan.threads or share.model.threads) > 1 else ''}"
        f" (batches of {share.batch_size}, {share.max_batch_delay_ms} ms)"
        for share in plan.shares
    ]
    return ", ".join(parts)


def _doubts(machine: Machine, plan: Plan) -> str:
    """What people should know beside the plan."""
    workers = sum(share.workers for share in plan.shares)
    threads = sum(share.workers * (plan.threads or share.model.threads) for share in plan.shares)
    needed = BASE_BYTES + workers * WORKER_BYTES
    doubts = ""
    if threads > machine.cores:
        doubts += f". {threads} threads are more than the cores: serve fewer models, or fewer workers (--workers)"
    if needed > machine.memory_bytes:
        doubts += f". They may need {needed / 2**30:.1f} GiB, more than there is: serve fewer models (--models)"
    return doubts
