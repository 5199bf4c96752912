"""mIoU against each parameter of a search, as PNG."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from weakseg.evaluation.results import Document
from weakseg.tuning.grid import Value, show_value

_COLUMNS = 3
_POINT, _BEST, _WINNER = "#999999", "#0072B2", "#D55E00"  # of Okabe & Ito


def draw_axes(document: Document, path: Path) -> None:
    """One panel per parameter: every point that was tried, the best of each value, and the winner.

    Args:
        document: See `weakseg.tuning.report.write_report`.
    """
    names = [name for name, values in document["axes"].items() if len(values) > 1] or list(document["axes"])[:1]
    rows = -(-len(names) // _COLUMNS)
    figure = Figure(figsize=(4 * min(len(names), _COLUMNS), 2.8 * rows + 0.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    for index, name in enumerate(names, start=1):
        _draw_axis(figure.add_subplot(rows, min(len(names), _COLUMNS), index), document, name)
    title = f"{document['refine']}: {document['model']} on {document['split']}, {document['images']} photos"
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, metadata={"Software": None})


def _draw_axis(axes: Axes, document: Document, name: str) -> None:
    values = [_hashable(value) for value in document["axes"][name]]
    tried = [(values.index(_hashable(row["point"][name])), 100 * row["miou"]) for row in document["points"]]
    best: dict[int, float] = {}
    for place, percent in sorted(tried):
        best[place] = max(best.get(place, percent), percent)
    winner = document["winner"]
    axes.plot(*zip(*tried, strict=True), ".", ms=4, color=_POINT, label="tried")
    axes.plot(list(best), list(best.values()), "o-", ms=4, color=_BEST, label="best of each value")
    place = values.index(_hashable(winner["point"][name]))
    axes.plot([place], [100 * winner["miou"]], "D", color=_WINNER, label="winner")
    axes.set_xlabel(name)
    axes.set_ylabel("mIoU, %")
    every = -(-len(values) // 10)
    axes.set_xticks(range(0, len(values), every), [show_value(value) for value in values[::every]], fontsize=7)
    axes.set_ylim(min(best.values()) - 1, max(best.values()) + 1)
    axes.grid(alpha=0.3)


def _hashable(value: Value | list[float]) -> Value:
    return (value[0], value[1], value[2]) if isinstance(value, list) else value
