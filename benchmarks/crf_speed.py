"""``python -m benchmarks.crf_speed``: how much faster than pydensecrf the dense CRF engines are."""

from __future__ import annotations

import os
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.stages import bind_to_one_core

NOTE = (
    "Milliseconds of one photo, from its unary to its marginals: medians over photos of the best of some runs, in "
    "which the engines took turns (pydensecrf, exact, fast ... pydensecrf, exact ...). `times` is the median ratio "
    "of pydensecrf's time and the engine's on the same photo, with the 10th and 90th percentile. Processor time of the "
    "thread: other work on the machine slows both sides down, and is not counted."
)
CORES_NOTE = (
    "Wall-clock time of eight photos, two labels, one after another and on two threads, in turns; the ratio's median. "
    "The engines release the interpreter's lock; pydensecrf holds it."
)


def main(
    model: Annotated[Path, typer.Option(help="Archive whose maps are the unaries.")] = Path("model_store/weakseg.mar"),
    voc: Annotated[Path, typer.Option(help="Holds VOCdevkit/VOC2012, or is that folder.")] = Path("../shared/data"),
    split: Annotated[str, typer.Option(help="Of that folder; val has photos of their original size.")] = "val",
    photos: Annotated[int, typer.Option(min=1, help="Evenly spread over the split.")] = 20,
    runs: Annotated[int, typer.Option(min=1, help="Of each engine on each photo; the best counts.")] = 3,
    engines: Annotated[str, typer.Option(help="Comma-separated beginnings of engines' names.")] = "native",
    cpu: Annotated[int | None, typer.Option(help="Core to run on.", show_default="the last one allowed")] = None,
    out: Annotated[Path | None, typer.Option(help="Write FILE.md and FILE.json.", show_default="print only")] = None,
) -> None:
    """Time the CRF engines and pydensecrf in one process, with pydensecrf's customary kernels and ten steps.

    Photos at full size (mostly 500 x 375), with the unaries of `benchmarks.crf_accuracy`: two labels; 21, of which some
    are probable somewhere; 21, all of them; 21, of which few are present. About five minutes.
    """
    cores = sorted(os.sched_getaffinity(0))
    bind_to_one_core(cpu)
    # Only now: libraries size their thread pools when they are loaded.
    import cv2
    import torch

    from benchmarks.crf_accuracy import steepness
    from benchmarks.crf_engines import choose_contenders
    from benchmarks.crf_problems import UNARIES, Setting, open_photos, read_photos
    from benchmarks.machine import describe_machine
    from benchmarks.report import Report, Table, progress_bar, publish
    from weakseg.refine.densecrf.problem import CrfEngine, CrfProblem
    from weakseg.refine.densecrf.reference import infer_with_pydensecrf

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    pipeline, chosen = open_photos(model, voc, split, photos)
    contenders: dict[str, CrfEngine] = {"pydensecrf": infer_with_pydensecrf}
    contenders |= {contender.name: contender.open() for contender in choose_contenders(engines)}
    confidence, threshold = steepness(pipeline.card)
    customary = Setting("customary", None, None)
    best_ms: dict[tuple[str, str], list[float]] = defaultdict(list)
    pairs: list[CrfProblem] = []
    with progress_bar() as progress:
        task = progress.add_task("photos", total=len(chosen))
        for photo in read_photos(pipeline, chosen):
            for unary in UNARIES:
                problem = photo.problem(unary, customary, confidence=confidence, threshold=threshold)
                for name, ms in time_engines(contenders, problem, runs).items():
                    best_ms[unary, name].append(ms)
                pairs += [problem] if len(problem.logits) == 2 and len(pairs) < 8 else []
            progress.advance(task)
    rows = [
        describe(unary, name, best_ms[unary, name], best_ms[unary, "pydensecrf"])
        for unary in UNARIES
        for name in contenders
    ]
    tables = [Table("One photo on one core", rows, NOTE)]
    if len(cores) > 1:
        os.sched_setaffinity(0, set(cores[:2]))
        tables.append(Table("Eight photos on two cores", time_cores(contenders, pairs), CORES_NOTE))
    setup = {
        "photos": f"{len(best_ms[UNARIES[0], 'pydensecrf'])} of {split}, at full size",
        "kernels": customary.describe(),
        "runs": str(runs),
    }
    publish(Report("Dense CRF: speed against pydensecrf", describe_machine(), setup, tables), out)


def time_engines(engines: dict, problem, runs: int) -> dict[str, float]:  # type: ignore[type-arg,no-untyped-def]
    """Best processor time of each, in ms; they take turns."""
    best: dict[str, float] = {}
    for _ in range(runs):
        for name, engine in engines.items():
            started = time.thread_time()
            engine([problem])
            ms = 1000 * (time.thread_time() - started)
            best[name] = min(ms, best.get(name, ms))
    return best


def describe(unary: str, engine: str, ms: Sequence[float], reference_ms: Sequence[float]) -> dict[str, object]:
    ratios = np.array(reference_ms) / np.array(ms)
    return {
        "unary": unary,
        "engine": engine,
        "ms": f"{statistics.median(ms):.2f}",
        "times": f"{np.median(ratios):.1f}",
        "10th to 90th": f"{np.percentile(ratios, 10):.1f} to {np.percentile(ratios, 90):.1f}",
    }


def time_cores(engines: dict, problems: Sequence, rounds: int = 7) -> list[dict[str, object]]:  # type: ignore[type-arg]
    """Each engine on one thread and on two."""
    rows = []
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(time.sleep, [0.05] * 2))  # both threads exist
        for name, engine in engines.items():
            ratios, pair = [], (0.0, 0.0)
            for _ in range(rounds if name != "pydensecrf" else 2):
                started = time.perf_counter()
                for problem in problems:
                    engine([problem])
                middle = time.perf_counter()
                list(pool.map(lambda problem, engine=engine: engine([problem]), problems))
                pair = (middle - started, time.perf_counter() - middle)
                ratios.append(pair[0] / pair[1])
            rows.append(
                {
                    "engine": name,
                    "one core, ms": f"{1000 * pair[0]:.0f}",
                    "two cores, ms": f"{1000 * pair[1]:.0f}",
                    "times": f"{statistics.median(ratios):.2f}",
                }
            )
    return rows


if __name__ == "__main__":
    typer.run(main)
