"""One photo, one network pass per class, every refinement: counts of pixels and processor time."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.variants import Variant
from weakseg.card import Settings
from weakseg.codec.decode import decode_image
from weakseg.codec.pictures import encode_mask
from weakseg.evaluation.counting import VOC_VALUES
from weakseg.evaluation.metrics import count_pixels, score
from weakseg.evaluation.voc import Sample
from weakseg.options import Options
from weakseg.pipeline import Pipeline
from weakseg.voc import VOID

Trial = tuple[Variant, Settings]
NOTHING = [0, 0, 0, 0]  # TP, FP, FN, TN of a class that a photo does not show


@dataclass(slots=True)
class PhotoRecord:
    """What one photo adds to the curve; JSON-ready. Times are processor time of single requests."""

    image: str
    counts: dict[str, dict[str, list[int]]] = field(default_factory=dict)  # trial -> class -> TP, FP, FN, TN
    refine_ms: dict[str, list[float]] = field(default_factory=dict)  # trial -> per class
    shared_ms: dict[str, list[float]] = field(default_factory=dict)  # decode, forward, encode -> per class

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def name_trial(trial: Trial) -> str:
    """Its name in records: equal for equal variants and thresholds."""
    variant, settings = trial
    return f"{variant.title} t={settings.threshold} levels={settings.levels}"


class Tester:
    """Tries many refinements on the maps of one model.

    Args:
        pipeline: Of the model.
        over: VOC classes that are asked for where a photo shows them, one by one (known tags).
    """

    def __init__(self, pipeline: Pipeline, over: Sequence[str]) -> None:
        self._pipeline = pipeline
        self._over = over
        self._finishers: dict[tuple[int | None, int | None], Pipeline] = {}

    def try_all(self, name: str, sample: Sample, trials: Sequence[Trial]) -> PhotoRecord:
        """Every trial on one photo.

        Args:
            name: Of the record.
        """
        record = PhotoRecord(name)
        _, truth = sample.read(self._pipeline.limits)
        content = sample.photo.read_bytes()
        for label in self._over:
            if (truth == VOC_VALUES[label]).any():
                self._try_label(record, content, label, truth, trials)
        return record

    def _try_label(
        self, record: PhotoRecord, content: bytes, label: str, truth: NDArray[np.uint8], trials: Sequence[Trial]
    ) -> None:
        started = time.process_time()
        plan = self._pipeline.plan(decode_image(content, self._pipeline.limits), Options(classes=(label,)))
        decoded = time.process_time()
        (output,) = self._pipeline.forward([plan])
        times = {"decode": _ms(decoded - started), "forward": _ms(time.process_time() - decoded)}
        true, valid = truth == VOC_VALUES[label], truth != VOID
        for trial in trials:
            variant, settings = trial
            finisher, again = self._finisher(variant), dataclasses.replace(plan, settings=settings)
            started = time.process_time()
            found = finisher.finish(again, output)
            finished = time.process_time()
            key = name_trial(trial)
            record.refine_ms.setdefault(key, []).append(_ms(finished - started))
            record.counts.setdefault(key, {})[label] = count_pixels(true, found.label_map == 1, valid)
        started = time.process_time()
        encode_mask(found.label_map)
        for stage, time_ms in {**times, "encode": _ms(time.process_time() - started)}.items():
            record.shared_ms.setdefault(stage, []).append(time_ms)

    def _finisher(self, variant: Variant) -> Pipeline:
        """The same model with the sides of one variant."""
        key = (variant.soft_side, variant.cut_side)
        if key not in self._finishers:
            pipeline = self._pipeline
            self._finishers[key] = Pipeline(variant.fit(pipeline.card), pipeline.runtime, pipeline.limits)
        return self._finishers[key]


def find_miou(records: Iterable[PhotoRecord], trial: str, over: Sequence[str]) -> float:
    """Of one trial over all photos; 0 where none shows a class."""
    counts = [[record.counts.get(trial, {}).get(label, NOTHING) for label in over] for record in records]
    return score(np.array(counts, np.int64).sum(axis=0), over).miou or 0.0


def choose_thresholds(
    records: Sequence[PhotoRecord], swept: Mapping[Variant, Sequence[tuple[float | None, str]]], over: Sequence[str]
) -> dict[Variant, float | None]:
    """The threshold with the highest mIoU of each variant; of equal ones the first.

    Args:
        swept: Variant to its thresholds (None: the card's), each with the name of its trial.
    """
    return {
        variant: max(tried, key=lambda pair: find_miou(records, pair[1], over))[0] for variant, tried in swept.items()
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
