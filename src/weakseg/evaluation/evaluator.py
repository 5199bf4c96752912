"""Many photos over many processes, with progress; finished photos are kept, so that a stopped run can go on."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from weakseg.archive import open_archive
from weakseg.evaluation.counting import Plan, Record, count_sample
from weakseg.evaluation.records import Countable, RecordFile
from weakseg.evaluation.voc import Sample
from weakseg.evaluation.workers import Workers, show_progress
from weakseg.pipeline import Pipeline
from weakseg.runtime import open_runtime

OpenPipeline = Callable[[], Pipeline]


class Photo(Protocol):
    @property
    def image_id(self) -> str: ...


PhotoT = TypeVar("PhotoT", bound=Photo)
RecordT = TypeVar("RecordT", bound=Countable)


@dataclass(frozen=True, slots=True)
class ArchiveOpener:
    """Opens a model archive for a worker process: one thread each, on the CPU."""

    path: Path

    def __call__(self) -> Pipeline:
        archive = open_archive(self.path)
        card = archive.card.model_copy(update={"threads": 1})
        return Pipeline(card, open_runtime(card, archive.read_file))


def evaluate(
    open_pipeline: OpenPipeline, samples: Sequence[Sample], plan: Plan, records: RecordFile[Record], *, jobs: int
) -> list[Record]:
    """Count every sample that ``records`` does not have yet: `count_all` with `count_sample`."""
    return count_all(functools.partial(_count, open_pipeline, plan), samples, records, jobs=jobs)


def count_all(
    count: Callable[[PhotoT], RecordT], samples: Sequence[PhotoT], records: RecordFile[RecordT], *, jobs: int
) -> list[RecordT]:
    """Count every sample that ``records`` does not have yet.

    Args:
        count: One photo to its record; picklable where ``jobs`` is more than 1. It opens its pipeline by `open_once`.
        jobs: Worker processes; 1: in this process.
    Returns:
        The records of all samples, in their order.
    Raises:
        DataError: a photo cannot be evaluated. What was finished before is kept.
    """
    waiting = [sample for sample in samples if sample.image_id not in records.finished]
    open_once.cache_clear()  # by now there may be another archive in its place
    with show_progress() as progress, Workers(min(jobs, len(waiting))) as workers:
        bar = progress.add_task("photos", total=len(samples), completed=len(samples) - len(waiting))
        for record in workers.map(count, waiting):
            records.append(record)
            progress.advance(bar)
    return [records.finished[sample.image_id] for sample in samples]


@functools.cache
def open_once(open_pipeline: OpenPipeline) -> Pipeline:
    """The pipeline of this process. Args: open_pipeline: Called once per process; hashable."""
    return open_pipeline()


def _count(open_pipeline: OpenPipeline, plan: Plan, sample: Sample) -> Record:
    return count_sample(open_once(open_pipeline), sample, plan)
