"""Quality against time, as PNG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe & Ito
_MARKERS = {"none": "o", "gaussian": "o", "guided": "s", "crf": "D", "grabcut": "^"}
_GREY = "#666666"
_DPI = 110
_REACHES_PX = (9, 18, 30, 45, 62, 80)  # of a label from its point
_DIRECTIONS = tuple(product((1, -1, 0), (1, -1, 0)))[:-1]

Rectangle = tuple[float, float, float, float]  # x0, y0, x1, y1, pixels


@dataclass(frozen=True, slots=True)
class Point:
    number: int  # in the table
    model: str
    title: str
    refine: str
    miou: float  # in [0, 1]
    refine_ms: float
    total_ms: float


def find_front(points: Sequence[Point], cost: str) -> list[Point]:
    """Those that no other point beats in both: cheapest first, each better than all before it.

    Args:
        cost: ``refine_ms`` or ``total_ms``.
    """
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (getattr(point, cost), -point.miou)):
        if not front or point.miou > front[-1].miou:
            front.append(point)
    return front


def draw_pareto(points: Sequence[Point], title: str, path: Path) -> None:
    """A panel of whole requests, all models; and one of refinement alone for each model."""
    models = list(dict.fromkeys(point.model for point in points))
    colours = {model: _COLOURS[index % len(_COLOURS)] for index, model in enumerate(models)}
    figure = Figure(figsize=(12, 7 * (1 + len(models))), dpi=_DPI)
    FigureCanvasAgg(figure)
    panels = figure.subplots(1 + len(models), 1, squeeze=False)[:, 0]
    _draw_panel(panels[0], points, "total_ms", colours, "whole request")
    for axes, model in zip(panels[1:], models, strict=True):
        own = [point for point in points if point.model == model]
        _draw_panel(axes, own, "refine_ms", colours, f"{model}: refinement alone")
    figure.suptitle(f"{title}. Numbers: rows of the table; names: the Pareto front", fontsize=11)
    figure.tight_layout(rect=(0, 0, 1, 0.99))
    for axes, cost in zip(panels, ["total_ms"] + ["refine_ms"] * len(models), strict=True):
        shown = points if cost == "total_ms" else [point for point in points if f"{point.model}:" in axes.get_xlabel()]
        _label(axes, shown, cost)
    figure.savefig(path, metadata={"Software": None})


def _draw_panel(axes: Axes, points: Sequence[Point], cost: str, colours: dict[str, str], what: str) -> None:
    front = find_front(points, cost)
    for point in points:
        size, alpha = (9, 1.0) if point in front else (6, 0.5)
        axes.plot(*_place(point, cost), _marker(point), ms=size, color=colours[point.model], alpha=alpha)
    axes.step(*zip(*(_place(point, cost) for point in front), strict=True), where="post", color=_GREY, lw=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(f"{what}, ms on one core")
    axes.set_ylabel("mIoU, %")
    axes.margins(0.12)
    axes.grid(alpha=0.3)
    for model in dict.fromkeys(point.model for point in points):
        axes.plot([], [], "o", color=colours[model], label=model)
    for marker, steps in (("o", "map alone, or Gaussian"), ("s", "guided"), ("D", "CRF"), ("^", "GrabCut last")):
        axes.plot([], [], marker, color=_GREY, label=steps)
    axes.legend(fontsize=8, loc="lower right")


def _label(axes: Axes, points: Sequence[Point], cost: str) -> None:
    """A name for each point of the front and a number for any other, where there is room, with a line to the point."""
    front = find_front(points, cost)
    places = {point: axes.transData.transform(_place(point, cost)) for point in points}
    taken: list[Rectangle] = [(x - 5, y - 5, x + 5, y + 5) for x, y in places.values()]
    names_model = len({point.model for point in points}) > 1
    for point in sorted(points, key=lambda point: point not in front):
        text, size = _name(point, names_model) if point in front else str(point.number), 8 if point in front else 6
        box = _find_room(places[point], (len(text) * size * 0.95, size * 1.9), taken, axes.bbox.extents)
        taken.append(box)
        middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        axes.annotate(
            text,
            _place(point, cost),
            middle,
            textcoords="figure pixels",
            fontsize=size,
            ha="center",
            va="center",
            arrowprops={"arrowstyle": "-", "lw": 0.4, "color": _GREY, "shrinkA": 0, "shrinkB": 2},
        )


def _find_room(
    at: Iterable[float], wh: tuple[float, float], taken: Sequence[Rectangle], inside: Rectangle
) -> Rectangle:
    """The nearest rectangle of this size beside a point that covers least of what is taken or outside, in pixels."""
    x, y = at
    width, height = wh
    tried: list[Rectangle] = []
    for reach, (right, up) in product(_REACHES_PX, _DIRECTIONS):
        x0 = x + right * reach + (right - 1) * width / 2
        y0 = y + up * reach + (up - 1) * height / 2
        tried.append((x0, y0, x0 + width, y0 + height))

    def lost(box: Rectangle) -> float:
        return width * height - _overlap(box, inside) + sum(_overlap(box, other) for other in taken)

    return min(tried, key=lost)


def _overlap(one: Rectangle, other: Rectangle) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0) * max(height, 0)


def _marker(point: Point) -> str:
    return _MARKERS[point.refine.split("+")[-1]]


def _place(point: Point, cost: str) -> tuple[float, float]:
    return getattr(point, cost), 100 * point.miou


def _name(point: Point, names_model: bool) -> str:
    return f"{point.number} {point.model}: {point.title}" if names_model else f"{point.number} {point.title}"
