"""``python -m benchmarks.side_by_side``: ways to spread a batch over the cores of one worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

from benchmarks.machine import describe_machine
from benchmarks.photo import benchmark_photo
from benchmarks.report import Report, Row, Table, progress_bar, publish
from benchmarks.samples import interleave, paired_ratio
from benchmarks.stages import ROOT
from weakseg.archive import Archive, find_archive, open_archive
from weakseg.codec.decode import decode_image
from weakseg.codec.pictures import encode_mask
from weakseg.options import parse_options
from weakseg.pipeline import Pipeline
from weakseg.runtime import open_runtime
from weakseg.types import RawRequest

REQUESTS: tuple[Mapping[str, str], ...] = (
    {"refine": "none"},
    {"refine": "crf"},
    {"refine": "crf+grabcut"},
    {"refine": "grabcut", "grabcut_engine": "opencv"},
)
ALONE = "one core"
NOTE = (
    "Milliseconds of a batch, from bytes to bytes; cases took turns. `network alone`: the network has all cores, while "
    "photos are decoded, refined and encoded one by one. `side by side`: those stages have all cores too, a photo "
    "each; this is what a worker does. `overlapped`: the network on one core, while another finishes the photo before."
)


def main(
    model: Annotated[str, typer.Option(help="Archive, by name or path.")] = "weakseg",
    store: Annotated[Path, typer.Option(help="Folder of the archives.")] = ROOT / "model_store",
    threads: Annotated[int, typer.Option(min=2, help="Cores of the worker.")] = 2,
    batch: Annotated[int, typer.Option(min=2, help="Photos in a batch.")] = 8,
    repeats: Annotated[int, typer.Option(min=1, help="Batches per case, after a warm-up.")] = 7,
    out: Annotated[Path | None, typer.Option(help="Write FILE.md and FILE.json.", show_default="print only")] = None,
) -> None:
    """Time batches of 500 x 375 JPEGs. Needs as many idle cores as ``--threads``: one that is busy holds all up."""
    machine = describe_machine()
    archive = open_archive(find_archive(model, store))
    ways = open_ways(archive, threads)
    photos = [benchmark_photo()] * batch
    cases = {
        (number, way): partial(run, photos, request)
        for number, request in enumerate(REQUESTS)
        for way, run in ways.items()
    }
    interleave(cases, rounds=1)
    with progress_bar() as progress:
        bar = progress.add_task("batches", total=len(cases) * repeats)
        measured = interleave(cases, rounds=repeats, on_step=partial(progress.advance, bar))
    rows: list[Row] = [
        {
            "request": ", ".join(request.values()),
            **{way: median(measured[number, way]) for way in ways},
            **{f"{way}, quickest": min(measured[number, way]) for way in ways},
            "one core / side by side": paired_ratio(measured[number, ALONE], measured[number, "side by side"]),
        }
        for number, request in enumerate(REQUESTS)
    ]
    setup = {"model": model, "batch": str(batch), "threads": str(threads), "repeats": str(repeats)}
    publish(Report("A batch on the cores of one worker", machine, setup, [Table("Batches", rows, NOTE)]), out)


Run = Callable[[Sequence[bytes], Mapping[str, str]], float]


def open_ways(archive: Archive, threads: int) -> dict[str, Run]:
    """Each way to work on a batch, to what times it."""
    one, many = (archive.card.model_copy(update={"threads": count}) for count in (1, threads))
    on_one, on_many = (open_runtime(card, archive.read_file) for card in (one, many))
    return {
        ALONE: partial(_answer, Pipeline(one, on_one)),
        "network alone": partial(_answer, Pipeline(one, on_many)),
        "side by side": partial(_answer, Pipeline(many, on_many)),
        "overlapped": partial(_overlap, Pipeline(one, on_one), ThreadPoolExecutor(1)),
    }


def _answer(pipeline: Pipeline, photos: Sequence[bytes], request: Mapping[str, str]) -> float:
    started = time.perf_counter()
    pipeline.answer([RawRequest(photo, request) for photo in photos])
    return (time.perf_counter() - started) * 1000


def _overlap(
    pipeline: Pipeline, other: ThreadPoolExecutor, photos: Sequence[bytes], request: Mapping[str, str]
) -> float:
    options, started = parse_options(request), time.perf_counter()
    waiting = []
    for photo in photos:
        plan = pipeline.plan(decode_image(photo, pipeline.limits), options)
        (output,) = pipeline.forward([plan])
        waiting.append(other.submit(lambda *given: encode_mask(pipeline.finish(*given).label_map), plan, output))
    for answer in waiting:
        answer.result()
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    typer.run(main)
