"""Many photos over many processes, with progress; finished photos are kept, so that a stopped run can go on."""

from __future__ import annotations

import functools
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import cv2
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from weakseg.archive import open_archive
from weakseg.evaluation.counting import Plan, Record, count_sample
from weakseg.evaluation.records import RecordFile
from weakseg.evaluation.voc import Sample
from weakseg.pipeline import Pipeline
from weakseg.runtime import open_runtime

OpenPipeline = Callable[[], Pipeline]


@dataclass(frozen=True, slots=True)
class ArchiveOpener:
    """Opens a model archive for a worker process: one thread each, on the CPU."""

    path: Path

    def __call__(self) -> Pipeline:
        archive = open_archive(self.path)
        card = archive.card.model_copy(update={"threads": 1})
        return Pipeline(card, open_runtime(card, archive.read_file))


def count_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def evaluate(
    open_pipeline: OpenPipeline, samples: Sequence[Sample], plan: Plan, records: RecordFile, *, jobs: int
) -> list[Record]:
    """Count every sample that ``records`` does not have yet.

    Args:
        open_pipeline: Called once per worker process; picklable and hashable where ``jobs`` is more than 1.
        jobs: Worker processes; 1: in this process.
    Returns:
        The records of all samples, in their order.
    Raises:
        DataError: a photo cannot be evaluated. What was finished before is kept.
    """
    waiting = [sample for sample in samples if sample.image_id not in records.finished]
    with _progress() as progress:
        bar = progress.add_task("photos", total=len(samples), completed=len(samples) - len(waiting))
        for record in _count_all(open_pipeline, waiting, plan, min(jobs, len(waiting))):
            records.append(record)
            progress.advance(bar)
    return [records.finished[sample.image_id] for sample in samples]


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def _count_all(open_pipeline: OpenPipeline, samples: Sequence[Sample], plan: Plan, jobs: int) -> Iterator[Record]:
    """Records as they are finished, in any order."""
    if jobs <= 1:
        pipeline = open_pipeline() if samples else None
        for sample in samples:
            assert pipeline is not None
            yield count_sample(pipeline, sample, plan)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, initializer=_end_with_parent) as pool:
        futures = [pool.submit(_count_in_worker, open_pipeline, sample, plan) for sample in samples]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:  # after an error or an interruption, nobody waits for the rest
            pool.shutdown(wait=False, cancel_futures=True)


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work forever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@functools.cache
def _open_once(open_pipeline: OpenPipeline) -> Pipeline:
    """The pipeline of this worker process."""
    cv2.setNumThreads(1)
    return open_pipeline()


def _count_in_worker(open_pipeline: OpenPipeline, sample: Sample, plan: Plan) -> Record:
    return count_sample(_open_once(open_pipeline), sample, plan)
