"""The table of `benchmarks.pixel_networks`: what was measured of each network, to rows and to one sentence."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.pixel_cost import Cost
from benchmarks.pixel_latency import Latency
from benchmarks.report import Row
from benchmarks.runs import Run
from weakseg.errors import DataError
from weakseg.evaluation.counting import VOC_VALUES, sum_entries
from weakseg.evaluation.metrics import MaskScores, fold_others, score_masks
from weakseg.evaluation.techniques import IN_FORCE, refined
from weakseg.voc import ANIMALS, VOC_CLASSES

OVER = tuple(name for name in VOC_CLASSES if name in (*ANIMALS, "person"))
CRF = "crf"
NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Quality:
    """Of one network on one split, over the background and some classes, without and with CRF."""

    all_classes: MaskScores  # OVER
    all_crf: MaskScores
    animals: MaskScores  # ANIMALS: a person is background, in truth and prediction
    animals_crf: MaskScores


@dataclass(frozen=True, slots=True)
class Measured:
    run: Run
    cost: Cost
    quality: Quality
    latency: Latency


def read_quality(records: Path) -> Quality:
    """From the records of ``weakseg evaluate --voc``, with the options refine=none and --refines crf."""
    return Quality(
        score_records(records, IN_FORCE, OVER),
        score_records(records, refined(CRF), OVER),
        score_records(records, IN_FORCE, ANIMALS),
        score_records(records, refined(CRF), ANIMALS),
    )


def score_records(records: Path, variant: str, over: Sequence[str]) -> MaskScores:
    """The four metrics over the background and ``over``. Other classes are background, in truth and in prediction.

    Raises:
        DataError: the file lacks the variant.
    """
    lines = records.read_text(encoding="utf-8").splitlines()[1:]
    try:
        entries = [json.loads(line)["confusions"][variant] for line in lines]
    except (ValueError, KeyError) as error:
        raise DataError(
            f"{records} holds no counts of {variant!r} ({error!r}). Delete it and measure again."
        ) from error
    confusion = sum_entries(entries, len(VOC_CLASSES) + 1)  # (21, 21)
    return score_masks(fold_others(confusion, [VOC_VALUES[name] for name in over], void=False))


def make_row(measured: Measured) -> Row:
    """One line: percent with one decimal, milliseconds, millions."""
    run, quality, latency = measured.run, measured.quality, measured.latency
    return {
        "network": run.row.says,
        "epochs": run.recipe.epochs,
        "minutes": round(run.facts["minutes"], 1),
        "start": run.start,
        "width": float(run.recipe.network_options.get("width", 1.0)),
        "M parameters": round(measured.cost.parameters / 1e6, 2),
        "GFLOPs": round(measured.cost.gflops, 2),
        "ONNX Runtime ms": round(latency.onnx_ms, 1),
        "TorchScript ms": round(latency.torchscript_ms, 1),
        "request ms": round(latency.request_ms, 1),
        "GPU ms": NOT_MEASURED if latency.gpu_ms is None else round(latency.gpu_ms, 2),
        "pixel accuracy": _percent(quality.all_classes.pixel_accuracy),
        "mean accuracy": _percent(quality.all_classes.mean_accuracy),
        "mean IU": _percent(quality.all_classes.mean_iu),
        "fw IU": _percent(quality.all_classes.fw_iu),
        "mean IU + CRF": _percent(quality.all_crf.mean_iu),
        "mean IU, animals": _percent(quality.animals.mean_iu),
        "mean IU, animals + CRF": _percent(quality.animals_crf.mean_iu),
    }


def say_bridge(rows: Sequence[Measured]) -> str:
    """How far networks that learned from masks by a weak method come, beside the same network from drawn masks.

    Returns:
        A sentence for each; empty where the table lacks either of the two.
    """
    return " ".join(
        _compare(weak, full)
        for weak in rows
        if weak.run.recipe.masks_dir is not None
        for full in rows
        if full.run.recipe.masks_dir is None and _is_same_network(weak.run, full.run)
    )


def _compare(weak: Measured, full: Measured) -> str:
    found, whole = weak.quality.animals.mean_iu, full.quality.animals.mean_iu
    found_crf, whole_crf = weak.quality.animals_crf.mean_iu, full.quality.animals_crf.mean_iu
    if not (found and whole and found_crf and whole_crf):
        return ""
    return (
        f"{weak.run.facts['network']} from masks that nobody drew has a mean IU of {100 * found:.1f} over background "
        f"and the five animals; from drawn masks, {100 * whole:.1f}. The bridge: {100 * found / whole:.1f} % of full "
        f"supervision; with CRF {100 * found_crf:.1f} of {100 * whole_crf:.1f}, {100 * found_crf / whole_crf:.1f} %."
    )


def _is_same_network(one: Run, other: Run) -> bool:
    return all(
        getattr(one.recipe, field) == getattr(other.recipe, field) for field in ("network", "network_options", "init")
    )


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else round(100 * fraction, 1)
