"""``python -m benchmarks.threads``: workers side by side, with and without OpenBLAS' pool of threads in each."""

from __future__ import annotations

import os
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.in_process import Run, in_process
from benchmarks.machine import describe_machine
from benchmarks.photo import benchmark_photo
from benchmarks.report import Report, Table, publish
from benchmarks.samples import interleave, throughput_ratio
from benchmarks.serving_setup import MASK, load_figures
from weakseg.archive import find_archive

ROOT = Path(__file__).resolve().parents[1]
RAMP_S = 1.0
NOTE = (
    "As many processes as cores, each with one thread of the pipeline's own, in turns within one run. `pool`: OpenBLAS "
    "may start a thread per core in each process, as it does unless it is told; `x pool`: medians over rounds. Idle "
    "threads of a pool spin for a while after each product of matrices, on cores that the other workers need. What "
    "weakseg does about it: `weakseg.threads`."
)


def main(
    model: Annotated[str, typer.Option(help="An archive, by name or path.")] = "weakseg",
    store: Annotated[Path, typer.Option(help="Folder of the archives.")] = ROOT / "model_store",
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    seconds: Annotated[float, typer.Option(min=0.2, help="Length of one turn.")] = 5.0,
    out: Annotated[Path | None, typer.Option(help="Write FILE.md and FILE.json.", show_default="print only")] = None,
) -> None:
    """What a pool of BLAS threads in every worker costs."""
    machine, archive = describe_machine(), find_archive(model, store.resolve())
    cores = len(os.sched_getaffinity(0))
    with ExitStack() as stack:
        cases: dict[str, Run] = {
            name: stack.enter_context(
                in_process(archive, benchmark_photo(), MASK, processes=cores, batch=1, blas_threads=threads)
            )
            for name, threads in (("one thread", 1), ("pool", cores))
        }
        measured = interleave({name: partial(run, seconds, RAMP_S) for name, run in cases.items()}, rounds=rounds)
    rows = [
        {"BLAS": name, **load_figures(own), "x pool": throughput_ratio(own, measured["pool"])}
        for name, own in measured.items()
    ]
    setup = {"model": model, "processes": str(cores), "rounds": f"{rounds} of {seconds} s per case"}
    publish(Report("Threads of BLAS beside those of workers", machine, setup, [Table("Throughput", rows, NOTE)]), out)


if __name__ == "__main__":
    typer.run(main)
