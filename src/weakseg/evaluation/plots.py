"""The paper's figures 7 to 12 from a sweep, as PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from weakseg.evaluation.counting import KNOWN, OBJECT
from weakseg.evaluation.techniques import GRABCUT, IN_FORCE, SWEPT, THRESHOLDS, TITLES

Document = dict[str, Any]

_COLOURS = {  # of Okabe & Ito: told apart by colour-blind eyes too; one colour per technique in every figure
    "cam": "#0072B2",
    "gccam_pf_pb": "#009E73",
    "gccam_f_pf": "#D55E00",
    "gccam_f_pb": "#CC79A7",
    GRABCUT: "#000000",
    IN_FORCE: "#E69F00",
}
_MARKERS = {"cam": "o", "gccam_pf_pb": "s", "gccam_f_pf": "^", "gccam_f_pb": "D"}
_LABELS = {**TITLES, IN_FORCE: "options in force"}
_TASKS = {KNOWN: "Class segmentation, known tags", OBJECT: "Object segmentation, box given"}
_FIGURES = (  # number, task, what: a metric over t, or the t of the bars
    (7, KNOWN, "miou"),
    (8, KNOWN, "macc"),
    (9, KNOWN, 0.3),
    (10, OBJECT, "miou"),
    (11, OBJECT, "macc"),
    (12, OBJECT, 0.6),
)
_METRICS = {"miou": "mIoU", "macc": "mAcc"}


def draw_figures(results: Document, folder: Path) -> list[Path]:
    """Write figures 7 to 12.

    Args:
        results: With ``sweep``; see `weakseg.evaluation.results.build_results`.
        folder: Made if need be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [_draw(results, folder, *figure) for figure in _FIGURES]


def _draw(results: Document, folder: Path, number: int, task: str, what: str | float) -> Path:
    figure = Figure(figsize=(7, 4.2), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    kind = _draw_lines(axes, results, task, what) if isinstance(what, str) else _draw_bars(axes, results, task, what)
    axes.set_title(f"{_TASKS[task]}: {kind} ({results['model']}, {results['split']})", fontsize=10)
    axes.set_ylim(0, 100)
    axes.grid(axis="y", alpha=0.3)
    figure.legend(fontsize=8, ncols=3, loc="outside lower center")
    path = folder / f"figure_{number:02d}.png"
    figure.savefig(path, metadata={"Software": None})
    return path


def _draw_lines(axes: Axes, results: Document, task: str, metric: str) -> str:
    for technique in SWEPT:
        found = results["sweep"][task][technique]
        percents = [_percent(found[f"{threshold:.1f}"][metric]) for threshold in THRESHOLDS]
        axes.plot(THRESHOLDS, percents, _MARKERS[technique] + "-", color=_COLOURS[technique], label=_LABELS[technique])
    for technique, scores in _levels(results, task).items():
        axes.axhline(_percent(scores[metric]), ls="--", color=_COLOURS[technique], label=_LABELS[technique])
    axes.set_xticks(THRESHOLDS)
    axes.set_xlabel("threshold t")
    axes.set_ylabel(f"{_METRICS[metric]}, %")
    return f"{_METRICS[metric]} by threshold"


def _draw_bars(axes: Axes, results: Document, task: str, threshold: float) -> str:
    swept = {technique: results["sweep"][task][technique][f"{threshold:.1f}"] for technique in SWEPT}
    bars = {**swept, **_levels(results, task)}
    names = results[task]["over"]
    places, width = np.arange(len(names)), 0.85 / len(bars)
    for index, (technique, scores) in enumerate(bars.items()):
        heights = [_percent((scores["per_class"][name] or {}).get("iou")) for name in names]
        left = places + (index - (len(bars) - 1) / 2) * width
        axes.bar(left, heights, width, color=_COLOURS[technique], label=_LABELS[technique])
    axes.set_xticks(places, names, rotation=90 if len(names) > 8 else 0)
    axes.set_ylabel("IoU, %")
    return f"IoU by class at t = {threshold}"


def _levels(results: Document, task: str) -> dict[str, Document]:
    """Techniques without a threshold."""
    naked = {GRABCUT: results["sweep"][task][GRABCUT]} if task == OBJECT else {}
    return {**naked, IN_FORCE: results[task]}


def _percent(fraction: float | None) -> float:
    return float("nan") if fraction is None else 100 * fraction
