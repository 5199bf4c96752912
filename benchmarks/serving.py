"""``python -m benchmarks.serving``: the service beside its own pipeline, other servers, and a naive service."""

from __future__ import annotations

import os
import signal
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.machine import describe_machine
from benchmarks.photo import benchmark_photo
from benchmarks.report import Report, Table, publish
from benchmarks.rivals.servers import RIVALS
from benchmarks.serving_grid import measure_grid
from benchmarks.serving_setup import Setup
from benchmarks.serving_tail import measure_tail
from benchmarks.serving_ways import measure_ways
from scripts.archives import ensure_archive
from weakseg.archive import find_archive, open_archive

ROOT = Path(__file__).resolve().parents[1]


class Part(StrEnum):
    """What can be measured by itself."""

    WAYS = "ways"
    GRID = "grid"
    NAIVE = "naive"
    TAIL = "tail"


def main(
    model: Annotated[str, typer.Option(help="weakseg's archive, by name or path.")] = "weakseg",
    store: Annotated[Path, typer.Option(help="Folder of the archives.")] = ROOT / "model_store",
    part: Annotated[list[Part] | None, typer.Option(help="Only this part; again for another.")] = None,
    without: Annotated[list[str] | None, typer.Option(help=f"Leave out a rival: {', '.join(RIVALS)}.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Of each service.", show_default="cores / threads")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often every case has its turn.")] = 3,
    seconds: Annotated[float, typer.Option(min=0.2, help="Length of one turn.")] = 5.0,
    quick: Annotated[bool, typer.Option("--quick", help="One round of a second: to try it, not for figures.")] = False,
    cache: Annotated[Path, typer.Option(help="Folder for the rivals' environments.")] = ROOT / "out" / "rivals",
    out: Annotated[
        Path | None, typer.Option(help="Write FILE.md, FILE.json and plots.", show_default="print only")
    ] = None,
) -> None:
    """Measure the service against its own pipeline without a server, against other servers, and a naive service.

    The photo is a 500 x 375 JPEG, the answer a PNG mask by the default model, which is built where it is missing.
    About ten minutes on two quiet cores; rivals are installed the first time. Nothing is left running.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped then, too
    if unknown := set(without or ()) - set(RIVALS):
        raise typer.BadParameter(f"--without {', '.join(sorted(unknown))}: the rivals are {', '.join(RIVALS)}.")
    machine, started = describe_machine(), time.monotonic()
    cache.mkdir(parents=True, exist_ok=True)
    ensure_archive(model, store.resolve(), lambda line: print(line, flush=True))
    archive = open_archive(find_archive(model, store.resolve()))
    setup = Setup(
        archive=archive,
        photo=benchmark_photo(),
        workers=workers or max(len(os.sched_getaffinity(0)) // archive.card.threads, 1),
        rounds=1 if quick else rounds,
        seconds=1.0 if quick else seconds,
        ramp_s=0.5 if quick else 1.0,
        cache=cache.resolve(),
        pictures=out,
    )
    tables = [table for each in part or list(Part) for table in _measure(each, setup, without or [])]
    publish(Report("Served throughput and latency", machine, _describe(setup, time.monotonic() - started), tables), out)


def _measure(part: Part, setup: Setup, without: list[str]) -> list[Table]:
    setup.say(f"--- {part}")
    if part is Part.WAYS:
        return measure_ways(setup, [name for name in RIVALS if name not in without])
    if part is Part.NAIVE:
        from benchmarks.serving_naive import measure_naive  # here: captum and pydensecrf, which other parts do not need

        return measure_naive(setup)
    return {Part.GRID: measure_grid, Part.TAIL: measure_tail}[part](setup)


def _describe(setup: Setup, took_s: float) -> dict[str, str]:
    card = setup.archive.card
    return {
        "photo": f"500 x 375 JPEG, {len(setup.photo):,} bytes; answer: PNG mask",
        "model": f"{card.name} {card.version}, {card.method} maps, {card.runtime}, refine {card.photo_task.refine}",
        "workers": f"{setup.workers} in each service, with {card.threads} thread(s) each; nothing pinned to a core",
        "client": "threads of one process on the same machine; its CPU time is in the tables",
        "rounds": f"{setup.rounds} of {setup.seconds} s per case, after {setup.ramp_s} s that do not count; cases took "
        "turns within each round",
        "took": f"{took_s / 60:.1f} minutes",
    }


if __name__ == "__main__":
    typer.run(main)
