"""``python -m benchmarks.stages``: each stage's time on one core, in both runtimes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from benchmarks.machine import describe_machine
from benchmarks.report import Report, Table, console, progress_bar, publish

ROOT = Path(__file__).resolve().parents[1]

Model = Annotated[
    list[str], typer.Option(help="Archive, by name or path; of a second and third the default runtime alone is timed.")
]
Cpu = Annotated[int | None, typer.Option(help="Core to run on.", show_default="the last one allowed")]
Plain = Annotated[bool, typer.Option(help="Time the paper's plain CAM at 224 px too (exported on the spot, 20 s).")]
Out = Annotated[Path | None, typer.Option(help="Write FILE.md and FILE.json.", show_default="print only")]

STAGES_NOTE = (
    "Medians, from the answers' own timings; cases took turns (A B C A B C ...), one photo at a time. `decode` "
    "includes resizing for the network, `maps` is restoring class maps to the photo; `total` runs from the request's "
    "bytes to the answer's bytes."
)
NETWORK_NOTE = (
    "Medians of one forward pass of the exported graph (normalisation, scores and maps included), one thread. The "
    "ratio is the median of the ratios within a round."
)


def main(
    model: Model = ["weakseg"],  # noqa: B006  (typer copies it)
    store: Annotated[Path, typer.Option(help="Folder of the archives.")] = ROOT / "model_store",
    repeats: Annotated[int, typer.Option(min=1, help="Measurements per case, after a warm-up.")] = 30,
    plain: Plain = True,
    cpu: Cpu = None,
    out: Out = None,
) -> None:
    """Time each stage of a request for a 500 x 375 JPEG on one core: no server, no HTTP.

    The default model is built where it is missing. About three minutes with the default settings.
    """
    bind_to_one_core(cpu)
    # Only now: libraries size their thread pools when they are loaded.
    from benchmarks import stage_times
    from benchmarks.photo import benchmark_photo
    from benchmarks.plain import build_plain_archive
    from scripts.archives import ensure_archive
    from weakseg.archive import find_archive, open_archive

    stage_times.use_one_thread()
    machine = describe_machine()
    for name in model:
        ensure_archive(name, store.resolve(), console.print)
    archives = [open_archive(find_archive(name, store)) for name in model]
    photo = benchmark_photo()
    with tempfile.TemporaryDirectory() as folder:
        if plain:
            console.print("export the plain CAM at 224 px")
            archives.append(build_plain_archive(Path(folder), archives[0].card))
        with progress_bar() as progress:
            start_rounds = _starter(progress)
            stages = stage_times.measure_stages(archives[0], photo, repeats, start_rounds)
            others = [
                Table(
                    f"Stages of one request, {archive.card.name}",
                    stage_times.measure_stages(
                        archive, photo, repeats, start_rounds, runtimes=[archive.card.runtime], formats=["mask"]
                    ),
                )
                for archive in archives[1 : len(model)]
            ]
            networks = stage_times.measure_networks(archives, photo, repeats, start_rounds)
    card = archives[0].card
    setup = {
        "photo": f"500 x 375 JPEG, {len(photo):,} bytes",
        "model": f"{card.name} {card.version}, maps {card.graph}, runtime by default {card.runtime}",
        "CRF, GrabCut": f"long sides at most {card.sides.crf} and {card.sides.grabcut} px; "
        f"{card.photo_task.crf.steps} steps; "
        f"{card.photo_task.grabcut_mode}, {card.photo_task.iterations} iteration(s)",
        "threads": "1 in ONNX Runtime, PyTorch and OpenCV, all on one core",
        "repeats": str(repeats),
    }
    tables = [
        Table(f"Stages of one request, {card.name}", stages, STAGES_NOTE),
        *others,
        Table("The network alone", networks, NETWORK_NOTE),
    ]
    publish(Report("Time per stage on one core", machine, setup, tables), out)


def bind_to_one_core(cpu: int | None) -> None:
    """Keep this process, and every thread that it will start, on one core."""
    chosen = max(os.sched_getaffinity(0)) if cpu is None else cpu
    os.sched_setaffinity(0, {chosen})
    os.environ["OMP_NUM_THREADS"] = "1"


def _starter(progress: Progress) -> Callable[[str, int], Callable[[], None]]:
    def start(description: str, steps: int) -> Callable[[], None]:
        task = progress.add_task(description, total=steps)
        return lambda: progress.advance(task)

    return start


if __name__ == "__main__":
    typer.run(main)
