"""Records of all photos to the results document: what ``results.json`` holds."""

from __future__ import annotations

import json
import platform
import statistics
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import PIL
import torch

from weakseg import __version__
from weakseg.card import ModelCard
from weakseg.errors import DataError
from weakseg.evaluation.counting import KNOWN, OBJECT, PREDICTED, Plan, Record, sum_entries
from weakseg.evaluation.metrics import Counts, Scores, fold_others, one_against_rest, score, score_masks
from weakseg.evaluation.techniques import GRABCUT, IN_FORCE, SWEPT, THRESHOLDS, refined, variant
from weakseg.voc import VOC_CLASSES

Document = dict[str, Any]
BACKGROUND = "background"
OWN, VOID_TOO = "own", "void"
OTHERS = {  # what true pixels of classes that are not measured are
    OWN: "pixels of a class of their own, which is in no mean",
    BACKGROUND: "background",
    VOID_TOO: "void: they count nowhere",
}
BEST_TAG = "the model: the best-scoring VOC class of each photo (pick=best); one label per pixel"
PIXEL_TAGS = "the model: all VOC classes that it knows, asked for at once; one label per pixel"


def build_results(
    card: ModelCard,
    records: Sequence[Record],
    plan: Plan,
    *,
    split: str,
    command: str,
    chosen: Document | None = None,
    others: str = OWN,
) -> Document:
    """The results document, JSON-ready; fractions in [0, 1], null where there is nothing to say.

    Args:
        others: What true pixels of classes that are not in ``plan.over`` are with predicted tags; see `OTHERS`.
        chosen: Sweep thresholds chosen on another split, see `read_thresholds`; None: the best of this one.
    """
    document: Document = {
        **describe_card(card),
        "split": split,
        "images": len(records),
        "grabcut": {"side_px": card.sides.grabcut, "box_context": card.box_context},
        "command": command,
        "flags": dict(plan.flags),
        "software": software_versions(),
        **_summarise_tasks(card, records, plan, IN_FORCE, others),
        "timings": _summarise_timings(records),
    }
    if plan.refines:
        document["refines"] = {
            refine: _summarise_tasks(card, records, plan.with_refine(refine), refined(refine), others)
            for refine in plan.refines
        }
    if plan.sweep:
        side_px = min(card.sides.grabcut, plan.sweep_side_px)
        document["sweep"] = {"side_px": side_px, **_summarise_sweep(records, plan, split, chosen)}
    return document


def describe_card(card: ModelCard) -> Document:
    return {
        "model": card.name,
        "version": card.version,
        "network": card.network,
        "method": card.method,
        "weights_source": card.weights.source,
        "demonstration": card.weights.demonstration,
    }


def write_results(document: Document, path: Path) -> None:
    path.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_thresholds(path: Path) -> Document:
    """``sweep.thresholds`` of a results.json: the best threshold of each technique, and where it was found.

    Raises:
        DataError: not the results of a sweep.
    """
    try:
        found: Document = json.loads(path.read_text(encoding="utf-8"))["sweep"]["thresholds"]
        complete = all(found[task][technique] in THRESHOLDS for task in (KNOWN, OBJECT) for technique in SWEPT)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} holds no thresholds of a sweep ({error!r}). Run `weakseg evaluate --sweep`."
        ) from error
    if not complete:
        raise DataError(f"{path}: its thresholds are not among those of the sweep, {THRESHOLDS}.")
    return found


def _summarise_tasks(card: ModelCard, records: Sequence[Record], plan: Plan, variant: str, others: str) -> Document:
    return {
        KNOWN: _summarise_class_task(card, records, plan, variant),
        PREDICTED: _summarise_predicted(card, records, plan, variant, others),
        OBJECT: _summarise_boxes(card, records, plan, variant),
    }


def _summarise_class_task(card: ModelCard, records: Sequence[Record], plan: Plan, variant: str) -> Document:
    settings = card.settings(plan.options(plan.over[0]))
    return {
        "classes_from": "the mask of each photo (known tags): one request per class, one binary mask each",
        "over": list(plan.over),
        "options": settings.model_dump(mode="json", exclude_none=True),
        **_score_variant(records, KNOWN, variant, plan).as_dict(),
    }


def _summarise_boxes(card: ModelCard, records: Sequence[Record], plan: Plan, variant: str) -> Document:
    settings = card.settings(plan.options(plan.over[0], "0,0,1,1"))
    return {
        "classes_from": "the annotation of each box (class and box known): one request per box, one binary mask each",
        "truth": "the class's mask inside the box; outside the box all is background, counted in TN",
        "over": list(plan.over),
        "options": settings.model_dump(mode="json", exclude_none=True),
        **_score_variant(records, OBJECT, variant, plan).as_dict(),
    }


def _summarise_predicted(card: ModelCard, records: Sequence[Record], plan: Plan, variant: str, others: str) -> Document:
    """Means over background and the classes of ``over``; the confusion itself is over all 21."""
    options = plan.tag_options(card.vocabulary(), labels_pixels=card.labels_pixels)
    confusion = sum_entries((record.confusions[variant] for record in records), len(VOC_CLASSES) + 1)  # (21, 21)
    names = (BACKGROUND, *(name for name in VOC_CLASSES if name in plan.over))
    kept = [VOC_CLASSES.index(name) + 1 for name in names[1:]]
    masks: Document = {}
    if others == OWN:
        counts = one_against_rest(confusion)[[0, *kept]]  # (N, 4)
    else:
        folded = fold_others(confusion, kept, void=others == VOID_TOO)  # (N, N)
        counts = one_against_rest(folded)
        masks = {"others": OTHERS[others], **score_masks(folded).as_dict()}
    return {
        "classes_from": PIXEL_TAGS if card.labels_pixels else BEST_TAG,
        "over": list(names),
        "options": card.settings(options).model_dump(mode="json", exclude_none=True),
        **score(counts, names).as_dict(),
        "miou_without_background": score(counts[1:], names[1:]).miou,
        **masks,
    }


def _score_variant(records: Sequence[Record], task: str, name: str, plan: Plan) -> Scores:
    return score(_sum_counts(records, task, name, plan.over), plan.over)


def _sum_counts(records: Sequence[Record], task: str, name: str, over: Sequence[str]) -> Counts:
    total = np.zeros((len(over), 4), np.int64)
    for record in records:
        for row, class_name in enumerate(over):
            total[row] += record.counts[task].get(name, {}).get(class_name, [0, 0, 0, 0])
    return total  # (N, 4)


def _summarise_sweep(records: Sequence[Record], plan: Plan, split: str, chosen: Document | None) -> Document:
    """Task -> technique -> threshold -> scores; naked GrabCut and the options in force have no threshold."""
    tasks: dict[str, Document] = {}
    for task in (KNOWN, OBJECT):
        tasks[task] = {
            technique: {
                f"{threshold:.1f}": _score_variant(records, task, variant(technique, threshold), plan).as_dict()
                for threshold in THRESHOLDS
            }
            for technique in SWEPT
        }
    tasks[OBJECT][GRABCUT] = _score_variant(records, OBJECT, GRABCUT, plan).as_dict()
    best = chosen or {"chosen_on": split, **{task: _choose_thresholds(found) for task, found in tasks.items()}}
    return {"iterations": plan.sweep_iterations, "thresholds": best, **tasks}


def _choose_thresholds(found: Mapping[str, Document]) -> dict[str, float]:
    """The threshold with the highest mIoU of each technique; of equal ones the lowest."""
    return {
        technique: max(THRESHOLDS, key=lambda threshold: found[technique][f"{threshold:.1f}"]["miou"] or 0.0)
        for technique in SWEPT
    }


def _summarise_timings(records: Sequence[Record]) -> Document:
    """Medians over requests, of the options in force, on one thread of the machine that counted them."""
    timings: Document = {}
    for task in (KNOWN, PREDICTED, OBJECT):
        requests = [request for record in records for request in record.timings_ms[task]]
        stages = zip(*requests, strict=True)
        medians = [round(statistics.median(stage), 1) for stage in stages] or [None, None]
        timings[task] = {"requests": len(requests), "network_median_ms": medians[0], "refine_median_ms": medians[1]}
    return timings


def software_versions() -> dict[str, str]:
    """Everything installed that a mask depends on."""
    return {
        "weakseg": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pillow": PIL.__version__,
        "opencv": cv2.__version__,
        "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
        "pydensecrf2": version("pydensecrf2"),
    }
