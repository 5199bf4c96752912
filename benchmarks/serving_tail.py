"""Slow answers: percentiles of latency in an open loop, at a share of what the service can do."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks import service
from benchmarks.arrivals import Arrivals, ideal_latencies_s, schedule
from benchmarks.load import Target, put_arrivals, put_load
from benchmarks.report import Row, Table
from benchmarks.samples import Round, percentile, pooled_latencies_ms
from benchmarks.serving_setup import MASK, Run, Setup

SHARE = 0.7
CLIENTS_PER_WORKER = 4
LARGEST_BATCH = 8
LONGER = 3  # than the turns of other parts: the hundredth slowest of a hundred requests says little

NOTE = (
    "Requests leave on schedule, whether or not earlier ones are answered, and latency counts from the scheduled time. "
    "Capacity: a closed loop of {clients} clients just before ({capacity:.1f} images/s). `constant`: equal times "
    "between requests; `poisson`: independent callers. `late`: by how much the client itself was late, at most. "
    "`ideal`: the same ratio of a service without any spread under the same arrivals: every request takes "
    "{service_ms:.0f} ms on one of {workers} workers, first come, first served. Target: p99 at most 2.5 times p50."
)


def measure_tail(setup: Setup) -> list[Table]:
    """A table without batches, as several workers on a CPU have it, and one with the archive's."""
    return [_measure(setup, batch) for batch in (1, LARGEST_BATCH)]


def _measure(setup: Setup, batch: int) -> Table:
    clients = setup.workers * CLIENTS_PER_WORKER
    with service.running(partial(_write_archive, setup, batch), setup.say) as instance:
        target = service.target_of(instance, "tail", setup.photo, MASK)
        put_load(target, clients, setup.ramp_s, setup.ramp_s)
        capacity = put_load(target, clients, 2 * setup.seconds, setup.ramp_s).throughput_per_s
        rate = SHARE * capacity
        longer = replace(setup, seconds=LONGER * setup.seconds)
        measured = longer.take_turns(
            f"open loop, {rate:.1f} per second", {kind: _open_loop(target, kind, rate) for kind in Arrivals}
        )
    service_s = setup.workers / capacity
    note = NOTE.format(clients=clients, capacity=capacity, service_ms=service_s * 1000, workers=setup.workers)
    rows = [_row(kind, rounds, rate, service_s, setup.workers) for kind, rounds in measured.items()]
    return Table(f"Latency at {SHARE:.0%} of capacity, batches of {batch}", rows, note)


def _write_archive(setup: Setup, batch: int, store: Path) -> Sequence[str]:
    workers = {"minWorkers": setup.workers, "maxWorkers": setup.workers}
    service.copy_archive(setup.archive.path, store / "tail.mar", batchSize=batch, **workers)
    return ("tail",)


def _open_loop(target: Target, kind: Arrivals, rate: float) -> Run:
    """Other Poisson arrivals each time. No ramp: the first requests count like the others."""
    seeds = itertools.count()

    def run(duration_s: float, _: float) -> Round:
        return put_arrivals(target, schedule(kind, rate, duration_s, seed=next(seeds)), duration_s)

    return run


def _row(kind: Arrivals, rounds: Sequence[Round], rate: float, service_s: float, workers: int) -> Row:
    latencies = pooled_latencies_ms(rounds)
    arrivals = [sorted(each.due_s for each in measured.exchanges) for measured in rounds]
    ideal = [latency for due in arrivals for latency in ideal_latencies_s(due, service_s, workers)]
    p50, p95, p99 = (percentile(latencies, percent) for percent in (50, 95, 99))
    return {
        "arrivals": kind.value,
        "per second": rate,
        "requests": len(latencies),
        "p50 ms": p50,
        "p95 ms": p95,
        "p99 ms": p99,
        "p99 / p50": p99 / p50,
        "ideal p99 / p50": percentile(ideal, 99) / percentile(ideal, 50),
        "late ms": max(each.lateness_ms for each in rounds),
    }
