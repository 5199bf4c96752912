"""One model's points of the curve of quality against time, photo by photo; what is finished is kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from statistics import median

from rich.progress import Progress

from benchmarks.pareto_counts import PhotoRecord, Tester, Trial, choose_thresholds, find_miou, name_trial
from benchmarks.pareto_plot import Point
from benchmarks.stage_times import use_one_thread
from benchmarks.variants import Variant, list_refines, list_variants
from weakseg.archive import open_archive
from weakseg.card import Settings
from weakseg.evaluation.evaluator import ArchiveOpener
from weakseg.evaluation.records import RecordFile, take_fingerprint, take_stamps
from weakseg.evaluation.results import software_versions
from weakseg.evaluation.run import choose_classes
from weakseg.evaluation.voc import Sample, read_split
from weakseg.options import CrfEngineName, Refine

STAGES = ("decode", "forward", "encode")
THRESHOLDS = tuple(percent / 100 for percent in range(15, 76, 5))


@dataclass(frozen=True)
class Order:
    """What was asked for; see ``python -m benchmarks.pareto --help``. Empty tuples: the defaults."""

    voc: Path
    split: str
    every: int
    tune_on: str | None
    tune_every: int
    sides: tuple[int, ...]
    refines: tuple[Refine, ...]
    engines: tuple[CrfEngineName, ...]
    records: Path


@dataclass(frozen=True)
class Curve:
    """What came out for one model."""

    model: str
    photos: int
    points: Sequence[Point]
    thresholds: Mapping[str, str]  # title of a point to its t, or to GrabCut's levels
    shared_ms: Mapping[str, float]  # stage to its median


class Measurement:
    """One model on the photos of an order."""

    def __init__(self, order: Order, archive: Path, progress: Progress) -> None:
        use_one_thread()
        self._order, self._archive, self._progress = order, archive, progress
        self._card = open_archive(archive).card
        self._samples = read_split(order.voc, order.split)[:: order.every]
        self._over = choose_classes(None, self._samples)
        self._tester = Tester(ArchiveOpener(archive)(), self._over)
        sides = order.sides or tuple(sorted(set(self._card.sides)))
        self._variants = list_variants(
            order.refines or list_refines(self._card), sides, order.engines or tuple(CrfEngineName)
        )

    def run(self) -> Curve:
        """Thresholds first, if they are to be chosen; then every variant."""
        chosen = self._tune() if self._order.tune_on else {}
        trials = [(variant, variant.settings(self._card, chosen.get(variant.tuned_as()))) for variant in self._variants]
        records = self._try(self._samples, f"report_{self._order.split}", trials)
        shared_ms = {stage: _median(record.shared_ms.get(stage, []) for record in records) for stage in STAGES}
        points = [self._point(records, trial, sum(shared_ms.values())) for trial in trials]
        thresholds = {variant.title: _show_threshold(settings) for variant, settings in trials}
        return Curve(self._card.name, len(self._samples), points, thresholds, shared_ms)

    def _tune(self) -> dict[Variant, float | None]:
        """The threshold of each variant's steps at each size, by the default engines; None: the card's own is best."""
        order = self._order
        assert order.tune_on is not None
        samples = read_split(order.voc, order.tune_on)[:: order.tune_every]
        swept = {
            variant: [(t, (variant, variant.settings(self._card, t))) for t in (None, *THRESHOLDS)]
            for variant in dict.fromkeys(variant.tuned_as() for variant in self._variants)
        }
        records = self._try(samples, f"tune_{order.tune_on}", [trial for tried in swept.values() for _, trial in tried])
        named = {variant: [(t, name_trial(trial)) for t, trial in tried] for variant, tried in swept.items()}
        return choose_thresholds(records, named, self._over)

    def _try(self, samples: Sequence[Sample], purpose: str, trials: Sequence[Trial]) -> list[PhotoRecord]:
        inputs = {
            "photos": take_stamps(samples),
            "over": self._over,
            "trials": [[name_trial(trial), trial[1].model_dump(mode="json")] for trial in trials],
            "software": software_versions(),
        }
        path = self._order.records / f"{self._card.name}_{purpose}.jsonl"
        kept = RecordFile(path, take_fingerprint(self._archive, inputs), PhotoRecord)
        bar = self._progress.add_task(f"{self._card.name}, {purpose}, {len(trials)} trials", total=len(samples))
        for sample in samples:
            if sample.image_id not in kept.finished:
                kept.append(self._tester.try_all(sample.image_id, sample, trials))
            self._progress.advance(bar)
        return [kept.finished[sample.image_id] for sample in samples]

    def _point(self, records: Sequence[PhotoRecord], trial: Trial, shared_ms: float) -> Point:
        variant, name = trial[0], name_trial(trial)
        refine_ms = _median(record.refine_ms.get(name, []) for record in records)
        miou = find_miou(records, name, self._over)
        return Point(0, self._card.name, variant.title, variant.refine.value, miou, refine_ms, shared_ms + refine_ms)


def number_points(curves: Sequence[Curve]) -> list[Point]:
    """All points, each model's quickest first, numbered from 1."""
    ordered = [point for curve in curves for point in sorted(curve.points, key=lambda point: point.total_ms)]
    return [replace(point, number=number) for number, point in enumerate(ordered, start=1)]


def _show_threshold(settings: Settings) -> str:
    if settings.threshold is not None:
        return f"{settings.threshold:g}"
    return "/".join(f"{level:g}" for level in settings.levels or ())


def _median(times_ms: Iterable[Sequence[float]]) -> float:
    return median(chain.from_iterable(times_ms))
