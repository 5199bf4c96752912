"""Throughput against batch size and workers, and TorchScript against ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks import service
from benchmarks.load import put_load
from benchmarks.report import Row, Table
from benchmarks.samples import Round, pooled_throughput_per_s, throughput_ratio
from benchmarks.serving_setup import MASK, Run, Setup, load_figures

BATCHES = (1, 4, 8)
CLIENTS_PER_WORKER = 8  # of the largest service: batches can fill
DELAY_MS = 1

GRID_NOTE = (
    "Closed loop, the same number of clients for all ({clients}). `batch` 1 is batching switched off. `x batch 1`: "
    "against the same workers and runtime without batching; `x 1 worker`: against one worker with the same batch size; "
    "`x onnx`: against ONNX Runtime with the same workers and batch. Medians over rounds."
)


class Case(NamedTuple):
    workers: int
    batch: int
    runtime: str

    @property
    def model(self) -> str:
        return f"{self.runtime}_{self.workers}x{self.batch}"


def choose_cases(workers: int) -> list[Case]:
    """All batch sizes with one worker and with all; numbers of workers between them, doubling, with the largest batch.

    TorchScript with all workers, with and without batches.
    """
    between, count = [], 2
    while count < workers:
        between.append(Case(count, BATCHES[-1], "onnx"))
        count *= 2
    ends = [Case(count, batch, "onnx") for count in dict.fromkeys((1, workers)) for batch in BATCHES]
    return [*ends, *between, Case(workers, 1, "torchscript"), Case(workers, BATCHES[-1], "torchscript")]


def measure_grid(setup: Setup) -> list[Table]:
    """One table; with ``setup.pictures`` a plot, too."""
    cases, clients = choose_cases(setup.workers), setup.workers * CLIENTS_PER_WORKER
    with service.running(partial(_write_archives, setup, cases), setup.say) as instance:
        targets = {case: service.target_of(instance, case.model, setup.photo, MASK) for case in cases}
        runs: dict[Case, Run] = {case: partial(put_load, target, clients) for case, target in targets.items()}
        measured = setup.take_turns("batch sizes, workers, runtimes", runs)
    pictures = ()
    if setup.pictures is not None:
        pictures = (_plot(measured, setup.pictures.with_name(f"{setup.pictures.name}_batches.png")),)
    rows = [
        _row(case, measured) for case in sorted(measured, key=lambda case: (case.runtime, case.workers, case.batch))
    ]
    return [Table("Batches, workers, runtimes", rows, GRID_NOTE.format(clients=clients), pictures)]


def _write_archives(setup: Setup, cases: Sequence[Case], store: Path) -> Sequence[str]:
    for case in cases:
        serving = {"minWorkers": case.workers, "maxWorkers": case.workers, "batchSize": case.batch}
        target = store / f"{case.model}.mar"
        service.copy_archive(setup.archive.path, target, runtime=case.runtime, **serving, maxBatchDelay=DELAY_MS)
    return [case.model for case in cases]


def _row(case: Case, measured: Mapping[Case, Sequence[Round]]) -> Row:
    def against(other: Case) -> float | None:
        return throughput_ratio(measured[case], measured[other]) if other in measured else None

    return {
        "runtime": case.runtime,
        "workers": case.workers,
        "batch": case.batch,
        **load_figures(measured[case]),
        "x batch 1": against(case._replace(batch=1)),
        "x 1 worker": against(case._replace(workers=1)),
        "x onnx": against(case._replace(runtime="onnx")),
    }


def _plot(measured: Mapping[Case, Sequence[Round]], path: Path) -> Path:
    """Left: throughput against batch size, a line for each number of workers; right: against workers."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import ScalarFormatter

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    speeds = {case: pooled_throughput_per_s(rounds) for case, rounds in measured.items()}
    for runtime, workers in dict.fromkeys((case.runtime, case.workers) for case in sorted(measured)):
        line = sorted((case.batch, speed) for case, speed in speeds.items() if case[::2] == (workers, runtime))
        if len(line) > 1:
            name = f"{runtime}, {workers} worker{'s' if workers > 1 else ''}"
            left.plot(*zip(*line, strict=True), marker="o", label=name)
    for batch in BATCHES:
        line = sorted((case.workers, speed) for case, speed in speeds.items() if case[1:] == (batch, "onnx"))
        right.plot(*zip(*line, strict=True), marker="o", label=f"onnx, batch {batch}")
    for axes, title in ((left, "largest batch"), (right, "workers")):
        axes.set(xlabel=title, ylim=(0, None), xscale="log")
        axes.set_xticks(sorted({x for line in axes.lines for x in line.get_xdata()}))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    left.set_ylabel("images per second")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return path
