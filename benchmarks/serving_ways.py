"""The same pipeline served in several ways, and not served at all; and whose time a request takes."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path

from benchmarks import service
from benchmarks.accounts import Processes, processes_of, tree_of, with_accounts
from benchmarks.in_process import in_process
from benchmarks.load import CLIENT, Target, put_load, send
from benchmarks.report import Row, Table
from benchmarks.rivals import servers
from benchmarks.rivals.environments import ensure_environment
from benchmarks.samples import Round, cpu_ms_per_request, overheads_ms, pooled_latencies_ms, throughput_ratio
from benchmarks.serving_setup import MASK, Run, Setup, load_figures
from scripts.torchserve import PORTS, Instance

IN_PROCESS, SERVED, BARE = "in process", "weakseg, served", "weakseg, TorchServe without the front"
ALONE = ", one client"
DELAY_MS = 1
CLIENTS_PER_WORKER = 4

WAYS_NOTE = (
    f"The same archive, photo, options and number of workers; batches of up to 8, waiting {DELAY_MS} ms for a batch to "
    "fill (BentoML finds out itself how long). `in process`: as many processes as workers, each calling the pipeline "
    "for one photo after the other, without HTTP and without a client. The others: closed loop over keep-alive "
    "connections. `of in process` and `x served`: medians over rounds, each round against itself. Target: 0.9 of in "
    "process. BentoML's batched API takes lists, so photos and masks travel as base64 in JSON; the others take and "
    "give bytes. All answers were compared: the same PNG, byte for byte, when asked for one at a time."
)
COSTS_NOTE = (
    "Milliseconds of CPU per request, user and kernel, of every process of a service, over the same rounds; `all` "
    "without the client. On a machine whose cores are all busy throughput is cores / `all`: what the pipeline itself "
    "takes longer when served is in `workers`, what is added to it in the rest."
)
OVERHEAD_NOTE = (
    "One client. `overhead`: median, over requests, of the client's latency minus the pipeline's own `total` of the "
    "same request (header X-Weakseg-Timings-Ms): HTTP, front, TorchServe's queue, the wait for a batch to fill, its "
    "worker protocol, the handler."
)


def measure_ways(setup: Setup, rivals: Sequence[str]) -> list[Table]:
    """Tables of throughput, CPU time and overhead."""
    with ExitStack() as stack:
        instance = stack.enter_context(service.running(partial(_write_archive, setup), setup.say))
        started = [stack.enter_context(_rival(setup, name)) for name in rivals]
        targets = _targets(setup, instance)
        _compare(
            {
                **{name: send(target) for name, target in targets.items()},
                **{rival.name: rival.answer(send(rival.target)) for rival in started},
            }
        )
        own = processes_of(instance)
        cases: dict[str, Run] = {
            IN_PROCESS: stack.enter_context(
                in_process(setup.archive.path, setup.photo, MASK, processes=setup.workers, batch=setup.batch)
            ),
            **{name: _loaded(target, setup.workers * CLIENTS_PER_WORKER, own) for name, target in targets.items()},
            **{
                each.name: _loaded(each.target, setup.workers * CLIENTS_PER_WORKER, tree_of(each.pid, each.name))
                for each in started
            },
            **{name + ALONE: _loaded(target, 1, own) for name, target in targets.items()},
        }
        measured = setup.take_turns("ways of serving", cases)
    busy = {name: rounds for name, rounds in measured.items() if not name.endswith(ALONE)}
    alone = {name.removesuffix(ALONE): rounds for name, rounds in measured.items() if name.endswith(ALONE)}
    return [
        Table("Served and not served", _way_rows(busy), WAYS_NOTE),
        Table("Whose CPU time", _cost_rows(busy), COSTS_NOTE),
        Table("What serving adds to a lone request", _overhead_rows(alone), OVERHEAD_NOTE),
    ]


def _write_archive(setup: Setup, store: Path) -> Sequence[str]:
    serving = {"minWorkers": setup.workers, "maxWorkers": setup.workers, "batchSize": 8, "maxBatchDelay": DELAY_MS}
    service.copy_archive(setup.archive.path, store / "served.mar", **serving)
    return ("served",)


def _targets(setup: Setup, instance: Instance) -> dict[str, Target]:
    """The service as its callers reach it, and TorchServe by itself where there is a front before it."""
    targets = {SERVED: service.target_of(instance, "served", setup.photo, MASK)}
    if service.FRONT in PORTS:
        targets[BARE] = service.target_of(instance, "served", setup.photo, MASK, past_the_front=True)
    return targets


def _rival(setup: Setup, name: str) -> AbstractContextManager[servers.Rival]:
    python = ensure_environment(name, setup.cache, setup.say)
    wanted = servers.Wanted(setup.archive.path, setup.workers, 8, DELAY_MS)
    setup.say(f"start {name}")
    return servers.running(name, python, wanted, setup.photo, setup.cache / f"{name}.log")


def _loaded(target: Target, clients: int, processes: Processes) -> Run:
    def run(duration_s: float, ramp_s: float) -> Round:
        return with_accounts(partial(put_load, target, clients, duration_s, ramp_s), processes)

    return run


def _compare(answers: Mapping[str, bytes]) -> None:
    """Raises: RuntimeError: two ways gave different masks."""
    for name, png in answers.items():
        if png != answers[SERVED]:
            raise RuntimeError(f"{name} answers with another mask than {SERVED}: there is nothing to compare")


def _way_rows(busy: Mapping[str, Sequence[Round]]) -> list[Row]:
    return [
        {
            "way": name,
            **load_figures(rounds),
            "of in process": throughput_ratio(rounds, busy[IN_PROCESS]),
            "x served": throughput_ratio(rounds, busy[SERVED]),
        }
        for name, rounds in busy.items()
    ]


def _cost_rows(busy: Mapping[str, Sequence[Round]]) -> list[Row]:
    costs = {name: cpu_ms_per_request(rounds) for name, rounds in busy.items()}
    roles = list(
        dict.fromkeys(role for each in costs.values() for role in each if role not in (CLIENT, *servers.RIVALS))
    )
    rows = []
    for name, each in costs.items():
        client = each.pop(CLIENT, None)
        rows.append(
            {"way": name, **{role: each.get(role) for role in roles}, "all": sum(each.values()), CLIENT: client}
        )
    return rows


def _overhead_rows(alone: Mapping[str, Sequence[Round]]) -> list[Row]:
    return [
        {
            "way": name,
            "requests": len(pooled_latencies_ms(rounds)),
            "client p50 ms": statistics.median(pooled_latencies_ms(rounds)),
            "overhead p50 ms": statistics.median(overheads_ms(rounds)),
        }
        for name, rounds in alone.items()
    ]
