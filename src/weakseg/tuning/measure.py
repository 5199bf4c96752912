"""Points of a grid on all photos, by several processes; what is finished is kept."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from weakseg.card import ModelCard
from weakseg.evaluation.evaluator import OpenPipeline, open_once
from weakseg.evaluation.records import RecordFile
from weakseg.evaluation.voc import Sample
from weakseg.evaluation.workers import Workers, show_progress
from weakseg.options import Refine
from weakseg.tuning.grid import Point, key_of, show
from weakseg.tuning.maps import ClassMap, MapFolder, make_maps
from weakseg.tuning.search import Scoreboard
from weakseg.tuning.trials import Trial, name_trial, try_points

_NOTHING = [0, 0, 0, 0]  # TP, FP, FN, TN of a class that a photo does not show


def fill_maps(
    folder: MapFolder, samples: Sequence[Sample], over: Sequence[str], opener: OpenPipeline, workers: Workers
) -> None:
    """The network's part: once per photo."""
    missing = folder.missing(samples)
    open_once.cache_clear()  # by now there may be another archive in its place
    with show_progress(transient=True) as progress:
        bar = progress.add_task("maps", total=len(samples), completed=len(samples) - len(missing))
        for sample, maps in workers.map(functools.partial(_make, opener, over), missing):
            folder.save(sample, maps)
            progress.advance(bar)


def _make(opener: OpenPipeline, over: Sequence[str], sample: Sample) -> tuple[Sample, dict[str, ClassMap]]:
    return sample, make_maps(open_once(opener), sample, over)


@dataclass(slots=True)
class Trials:
    """Measures points on all photos, each of them once."""

    card: ModelCard
    refine: Refine
    samples: Sequence[Sample]
    folder: MapFolder
    records: RecordFile[Trial]
    workers: Workers
    board: Scoreboard
    say: Callable[[str], None]
    stage: int = 0

    def measure(self, points: Sequence[Point]) -> list[float]:
        """The mIoU of each point."""
        fresh = [point for point in points if key_of(point) not in self.board.points]
        if fresh:
            self._try(fresh)
        return [self.board.miou(point) for point in points]

    def _try(self, points: Sequence[Point]) -> None:
        self.stage += 1
        names = [name_trial(self.stage, sample) for sample in self.samples]
        waiting = [
            sample for sample, name in zip(self.samples, names, strict=True) if name not in self.records.finished
        ]
        work = functools.partial(_try_one, self.card, self.refine, self.folder, points, self.stage)
        with show_progress(transient=True) as progress:
            bar = progress.add_task(
                f"stage {self.stage}, {len(points)} points", total=len(names), completed=len(names) - len(waiting)
            )
            for trial in self.workers.map(work, waiting):
                self.records.append(trial)
                progress.advance(bar)
        self._add(points, [self.records.finished[name] for name in names])

    def _add(self, points: Sequence[Point], trials: Sequence[Trial]) -> None:
        for point in points:
            key = key_of(point)
            rows = [[trial.counts[key].get(name, _NOTHING) for name in self.board.over] for trial in trials]
            self.board.points[key] = point
            self.board.counts[key] = np.array(rows, np.int64)  # (photos, N, 4)
            self.board.times_ms[key] = [time_ms for trial in trials for time_ms in trial.times_ms.get(key, [])]
        best = self.board.best()
        self.say(
            f"stage {self.stage}: {len(self.board.points)} points, mIoU {self.board.miou(best):.1%} at {show(best)}"
        )


def _try_one(
    card: ModelCard, refine: Refine, folder: MapFolder, points: Sequence[Point], stage: int, sample: Sample
) -> Trial:
    return try_points(card, refine, sample, folder.load(sample), points, stage)
