"""One photo through every task and every variant, to counts of pixels."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weakseg.errors import DataError, RequestError
from weakseg.evaluation.metrics import confuse, count_pixels
from weakseg.evaluation.techniques import GRABCUT, IN_FORCE, SWEEP_SIDE_PX, refined, sweep_settings
from weakseg.evaluation.voc import LabelledBox, Sample
from weakseg.labels import Vocabulary
from weakseg.options import Options, parse_options
from weakseg.pipeline import Pipeline
from weakseg.plan import Plan as Request
from weakseg.types import GraphOutput, Mask, Rgb, Segmentation
from weakseg.voc import VOC_CLASSES, VOID

KNOWN, PREDICTED, OBJECT = "known_tags", "predicted_tags", "object_task"  # keys of records and results
PAPER_ITERATIONS = 1  # section 5.3
VOC_VALUES = {name: value for value, name in enumerate(VOC_CLASSES, start=1)}  # class name to its value in a mask


@dataclass(frozen=True, slots=True)
class Plan:
    """What an evaluation asks of every photo.

    Args:
        over: VOC classes of the known-tags task and of the object task.
        flags: Options as a caller would send them (refine, grabcut_mode, iterations, threshold).
        refines: What to try beside the refinement in force, on the same maps; see `with_refine`.
        sweep: Whether to run the paper's techniques too.
        sweep_side_px: GrabCut's long side in the sweep, at most.
    """

    over: tuple[str, ...]
    flags: Mapping[str, str] = field(default_factory=dict)
    refines: tuple[str, ...] = ()
    sweep: bool = False
    sweep_side_px: int = SWEEP_SIDE_PX

    def with_refine(self, refine: str) -> Plan:
        """The same requests with another refinement, and with another threshold for ``crf@0.3``; other flags stay."""
        name, _, threshold = refine.partition("@")
        changed = {"refine": name, "threshold": threshold} if threshold else {"refine": name}
        return dataclasses.replace(self, flags={**self.flags, **changed})

    def options(self, classes: str, box: str | None = None) -> Options:
        return parse_options({**self.flags, "classes": classes, **({"box": box} if box else {})})

    def tag_options(self, vocabulary: Vocabulary, *, labels_pixels: bool) -> Options:
        """Predicted tags: the best-scoring of the VOC classes that the model knows; of one that labels pixels all."""
        known = [name for name in VOC_CLASSES if name in vocabulary.names]
        return parse_options({**self.flags, "classes": known or "auto", "pick": "all" if labels_pixels else "best"})

    @property
    def sweep_iterations(self) -> int:
        """GrabCut iterations of the sweep: the paper's, unless a flag says otherwise."""
        return parse_options(self.flags).iterations or PAPER_ITERATIONS


@dataclass(slots=True)
class Record:
    """What one photo adds to the results; JSON-ready."""

    image: str
    counts: dict[str, dict[str, dict[str, list[int]]]]  # task -> variant -> class -> TP, FP, FN, TN
    confusions: dict[str, list[list[int]]]  # of predicted tags, variant -> entries: true, predicted value, pixels
    timings_ms: dict[str, list[list[float]]]  # task -> per request: network, refine (of the variant in force)

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def count_sample(pipeline: Pipeline, sample: Sample, plan: Plan) -> Record:
    """Run every request of one photo and compare with its mask.

    Raises:
        DataError: the files are broken, or the model cannot answer a request (names the photo).
    """
    rgb, truth = sample.read(pipeline.limits)
    counter = _Counter(pipeline, plan, rgb, truth)
    try:
        for name in plan.over:
            if (truth == VOC_VALUES[name]).any():
                counter.count_class(name)
        for labelled in sample.boxes:
            if labelled.name in plan.over:
                counter.count_box(labelled)
        confusions = counter.confuse_tags()
    except RequestError as error:
        raise DataError(f"{sample.image_id}: {error}") from error
    return Record(sample.image_id, counter.counts, confusions, counter.timings_ms)


class _Counter:
    """The requests of one photo, and the counts so far."""

    def __init__(self, pipeline: Pipeline, plan: Plan, rgb: Rgb, truth: NDArray[np.uint8]) -> None:
        self._pipeline = pipeline
        self._sweeping = _shrink_refinement(pipeline, plan.sweep_side_px)
        self._plan = plan
        self._rgb = rgb  # (H, W, 3)
        self._truth = truth  # (H, W)
        self._valid = truth != VOID  # (H, W)
        self.counts: dict[str, dict[str, dict[str, list[int]]]] = {KNOWN: {}, OBJECT: {}}
        self.timings_ms: dict[str, list[list[float]]] = {KNOWN: [], PREDICTED: [], OBJECT: []}

    def count_class(self, name: str) -> None:
        """Known tags: the class is given, its mask is the truth (the paper's class task)."""
        truth = self._truth == VOC_VALUES[name]
        for variant, segmentation in self._segment(KNOWN, lambda plan: plan.options(name)).items():
            self._add(KNOWN, variant, name, truth, segmentation)

    def count_box(self, labelled: LabelledBox) -> None:
        """Object task: class and box are given. The truth is the class's mask inside the box.

        There need be no masks of single objects, so a neighbour of the same class that reaches into the box is part
        of the truth. Everything outside the box is background, in truth and prediction.
        """
        truth = np.zeros_like(self._valid)
        truth[labelled.box.slices] = self._truth[labelled.box.slices] == VOC_VALUES[labelled.name]
        box = ",".join(map(str, labelled.box.as_list()))
        for variant, segmentation in self._segment(OBJECT, lambda plan: plan.options(labelled.name, box)).items():
            self._add(OBJECT, variant, labelled.name, truth, segmentation)
        if self._plan.sweep:
            sent = {
                "classes": "none",
                "box": box,
                "iterations": self._plan.sweep_iterations,
                "grabcut_engine": "opencv",
            }
            naked = parse_options(sent)
            segmentation = self._sweeping.finish(self._sweeping.plan(self._rgb, naked), None)
            self._add(OBJECT, GRABCUT, labelled.name, truth, segmentation)

    def confuse_tags(self) -> dict[str, list[list[int]]]:
        """Predicted tags: the model picks the class itself; one label per pixel over background and all classes."""
        vocabulary, labels_pixels = self._pipeline.vocabulary, self._pipeline.card.labels_pixels
        found = self._segment(PREDICTED, lambda plan: plan.tag_options(vocabulary, labels_pixels=labels_pixels))
        return {
            variant: list_entries(confuse(self._truth, translate_labels(segmentation), len(VOC_CLASSES) + 1, VOID))
            for variant, segmentation in found.items()
        }

    def _segment(self, task: str, ask: Callable[[Plan], Options]) -> dict[str, Segmentation]:
        """One forward pass, refined in every way. Variant to segmentation."""
        plan = self._pipeline.plan(self._rgb, ask(self._plan))
        output, segmentations, times_ms = refine_variants(self._pipeline, plan, self._plan, ask)
        self.timings_ms[task].append(times_ms)
        if self._plan.sweep and task != PREDICTED:
            for variant, settings in sweep_settings(self._plan.sweep_iterations).items():
                segmentations[variant] = self._sweeping.finish(dataclasses.replace(plan, settings=settings), output)
        return segmentations

    def _add(self, task: str, variant: str, name: str, truth: Mask, segmentation: Segmentation) -> None:
        (segment,) = segmentation.segments  # one class was asked for
        found = count_pixels(truth, segmentation.label_map == segment.value, self._valid)
        sums = self.counts[task].setdefault(variant, {}).setdefault(name, [0, 0, 0, 0])
        for index, number in enumerate(found):
            sums[index] += number


def refine_variants(
    pipeline: Pipeline, request: Request, plan: Plan, ask: Callable[[Plan], Options]
) -> tuple[GraphOutput, dict[str, Segmentation], list[float]]:
    """One forward pass, refined as the options in force say, and in the plan's other ways.

    Returns:
        What the network said, variant to segmentation, and the milliseconds of the network and of the refinement in
        force.
    """
    started = time.perf_counter()
    output = pipeline.forward([request])[0]
    ran = time.perf_counter()
    segmentations = {IN_FORCE: pipeline.finish(request, output)}
    times_ms = [_ms(ran - started), _ms(time.perf_counter() - ran)]
    for refine in plan.refines:
        settings = pipeline.card.settings(ask(plan.with_refine(refine)))
        again = dataclasses.replace(request, settings=settings)
        in_force = settings == request.settings
        segmentations[refined(refine)] = segmentations[IN_FORCE] if in_force else pipeline.finish(again, output)
    return output, segmentations, times_ms


def list_entries(confusion: NDArray[np.int64]) -> list[list[int]]:
    """The entries of a confusion matrix that are not 0: true value, predicted value, pixels."""
    return [[*map(int, entry), int(confusion[tuple(entry)])] for entry in np.argwhere(confusion)]


def sum_entries(records: Iterable[list[list[int]]], classes: int) -> NDArray[np.int64]:
    """Those of many photos to one matrix, (classes, classes)."""
    total = np.zeros((classes, classes), np.int64)
    for entries in records:
        for true, predicted, pixels in entries:
            total[true, predicted] += pixels
    return total


def translate_labels(segmentation: Segmentation) -> NDArray[np.uint8]:
    """(H, W) uint8: the label map in VOC's numbers. A label that is no VOC class becomes background."""
    lookup = np.zeros(256, np.uint8)
    for segment in segmentation.segments:
        lookup[segment.value] = VOC_VALUES.get(segment.label.casefold(), 0)
    return lookup[segmentation.label_map]  # (H, W)


def _shrink_refinement(pipeline: Pipeline, side_px: int) -> Pipeline:
    """The same model with GrabCut at the sweep's size."""
    side = min(pipeline.card.sides.grabcut, side_px)
    return Pipeline(pipeline.card.model_copy(update={"grabcut_side": side}), pipeline.runtime, pipeline.limits)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
