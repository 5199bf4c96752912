"""``python -m scripts.dashboard``: the Grafana dashboard as a picture, without Grafana."""

from __future__ import annotations

import math
import time
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import matplotlib.pyplot as plt
import numpy as np
import typer
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from scripts.grafana import COLUMNS, DASHBOARD, Panel, Query, read_panels
from scripts.monitor import MonitorError, ask

POINTS = 240  # of a curve
_WIDTH_IN, _UNIT_IN = 19.0, 0.44  # the whole picture; one row of Grafana's grid
_MARGINS = {"timeseries": (0.7, 0.42, 0.86, 0.18), "heatmap": (0.7, 0.42, 0.4, 0.1), "stat": (0.3, 0.35, 0.15, 0.1)}
_INK, _FAINT = "#22262b", "#8a9099"
_PALETTE = (
    "#2f6fb3", "#d9822b", "#3d9a6a", "#b8433c", "#7d5ba6", "#8a6d4d", "#c9649b", "#5f6b7a", "#a3a533", "#3aa8b5",
    "#9cc3e6", "#f2c08d", "#9dd3b6", "#e5a5a1", "#c7b5dd",
)  # fmt: skip
_NAMED = {"green": "#2a7d46", "orange": "#c26a00", "red": "#c0272d"}
_STATUS = {"200": "#2a7d46", "400": "#d9a400", "404": "#e07b00", "499": "#8a9099", "500": "#7d0a0f", "503": "#c0272d"}


@dataclass(frozen=True, slots=True)
class Span:
    """What is shown: seconds since 1970, and from one point to the next."""

    start: float
    end: float
    step_s: int


@dataclass(frozen=True, slots=True)
class Series:
    name: str
    labels: dict[str, str]
    times: NDArray[np.float64]  # (N,) seconds
    values: NDArray[np.float64]  # (N,), NaN where there is none


class Source:
    """Prometheus, asked over one span."""

    def __init__(self, url: str, span: Span, *, model: str = ".+") -> None:
        self._url, self.span, self._model = url.rstrip("/"), span, model
        targets = ask(f"{self._url}/api/v1/targets?state=active")["activeTargets"]
        scrapes = [_seconds(target["scrapeInterval"]) for target in targets]
        self.interval_s = max([4 * scrape for scrape in scrapes] + [span.step_s])

    def series(self, query: Query) -> list[Series]:
        """Every curve of one query, with a value or NaN at each step.

        Raises:
            MonitorError: Prometheus refuses the query.
        """
        span = self.span
        parameters = {
            "query": query.fill_in(model=self._model, interval_s=self.interval_s),
            "start": span.start,
            "end": span.end,
            "step": span.step_s,
        }
        found = ask(f"{self._url}/api/v1/query_range?{urllib.parse.urlencode(parameters)}")["result"]
        times = np.arange(span.start, span.end + 1e-6, span.step_s)  # (N,)
        return [_align(query, one, times) for one in found]


def _align(query: Query, result: dict[str, Any], times: NDArray[np.float64]) -> Series:
    values = np.full(len(times), math.nan)
    for moment, text in result["values"]:
        index = round((moment - times[0]) / (times[1] - times[0]))
        if 0 <= index < len(times):
            values[index] = float(text)
    return Series(query.name(result["metric"]), result["metric"], times, values)


def draw(panels: list[Panel], source: Source, title: str) -> Figure:
    """The whole dashboard, laid out as Grafana does."""
    rows = max(panel.y + panel.height for panel in panels)
    height_in = rows * _UNIT_IN + 1.0
    figure = plt.figure(figsize=(_WIDTH_IN, height_in), facecolor="white")
    figure.text(0.02, 1 - 0.42 / height_in, title, fontsize=17, weight="bold", color=_INK, va="center")
    for panel in panels:
        top_in = 0.8 + panel.y * _UNIT_IN
        if panel.kind == "row":
            figure.text(0.02, 1 - (top_in + 0.3) / height_in, panel.title, fontsize=13, weight="bold", color=_INK)
            continue
        # Margins in inches: axis labels on the left, title above, time axis and legend below.
        left, above, below, right = _MARGINS[panel.kind]
        unit_in = (_WIDTH_IN - 0.5) / COLUMNS
        place = (
            (0.25 + panel.x * unit_in + left) / _WIDTH_IN,
            1 - (top_in + panel.height * _UNIT_IN - below) / height_in,
            (panel.width * unit_in - left - right) / _WIDTH_IN,
            (panel.height * _UNIT_IN - above - below) / height_in,
        )
        axes = figure.add_axes(place)
        axes.set_title(panel.title, loc="left", fontsize=10.5, color=_INK, pad=6)
        _DRAW[panel.kind](axes, panel, source)
    return figure


def _draw_curves(axes: Axes, panel: Panel, source: Source) -> None:
    found = [series for query in panel.queries for series in source.series(query)]
    found = [series for series in found if np.isfinite(series.values).any()]
    _style(axes, panel, source.span)
    if not found:
        _say_nothing(axes)
        return
    colours = [_colour(series, index) for index, series in enumerate(found)]
    times = _dates(found[0].times)
    names = [series.name or panel.title for series in found]
    if panel.stacked:
        values = [np.nan_to_num(series.values) for series in found]
        axes.stackplot(times, values, labels=names, colors=colours, alpha=0.75, linewidth=0.4, edgecolor="white")
    elif panel.bars:
        _draw_bars(axes, found, names, colours)
    else:
        for series, name, colour in zip(found, names, colours, strict=True):
            axes.plot(times, series.values, label=name, color=colour, linewidth=1.5, solid_capstyle="round")
    axes.set_ylim(0, max(panel.highest, axes.get_ylim()[1]) if panel.highest else None)
    columns = 2 if max(map(len, names)) > 18 else 3
    axes.legend(
        loc="upper left", bbox_to_anchor=(-0.03, -0.13), ncols=min(columns, len(names)), fontsize=7.5, frameon=False,
        borderaxespad=0, handlelength=1.2, columnspacing=1.2, labelspacing=0.25,
    )  # fmt: skip


def _draw_bars(axes: Axes, found: list[Series], names: list[str], colours: list[str]) -> None:
    """Stacked, as wide as a step."""
    times = _dates(found[0].times)
    foot = np.zeros(len(times))
    for series, name, colour in zip(found, names, colours, strict=True):
        values = np.nan_to_num(series.values)
        axes.bar(times, values, width=times[1] - times[0], bottom=foot, label=name, color=colour)
        foot += values


def _draw_number(axes: Axes, panel: Panel, source: Source) -> None:
    axes.axis("off")
    (query,) = panel.queries
    found = source.series(query)
    finite = found[0].values[np.isfinite(found[0].values)] if found else np.array([])
    if not len(finite):
        axes.text(0.0, 0.45, "no data", fontsize=18, color=_FAINT, transform=axes.transAxes, va="center")
        return
    last = float(finite[-1])
    colour = next(colour for value, colour in reversed(panel.steps) if last >= value)
    shown = _format(last, panel.unit)
    axes.text(0.0, 0.45, shown, fontsize=25, color=_NAMED[colour], transform=axes.transAxes, va="center", weight="bold")
    spark = axes.inset_axes((0.5, 0.1, 0.48, 0.7))
    spark.axis("off")
    spark.plot(found[0].values, color=_NAMED[colour], linewidth=1.2)
    spark.set_ylim(min(0.0, float(finite.min())), max(float(finite.max()) * 1.1, 1e-9))


def _draw_heatmap(axes: Axes, panel: Panel, source: Source) -> None:
    """Rows are buckets of a histogram, from the quickest that has anything to the slowest."""
    _style(axes, panel, source.span)
    (query,) = panel.queries
    by_limit = {float(one.labels["le"]): np.nan_to_num(one.values) for one in source.series(query)}
    if not by_limit:
        _say_nothing(axes)
        return
    limits = sorted(by_limit)
    counts = np.diff([np.zeros_like(by_limit[limits[0]]), *(by_limit[limit] for limit in limits)], axis=0)  # (L, N)
    filled = np.flatnonzero((counts > 0.5).any(axis=1))
    if not len(filled):
        _say_nothing(axes)
        return
    shown = slice(max(filled[0] - 1, 0), min(filled[-1] + 2, len(limits)))
    counts, limits = counts[shown], limits[shown]
    times = _dates(np.append(source.span.start + source.span.step_s * np.arange(counts.shape[1]), source.span.end))
    if len(times) == counts.shape[1]:
        times = np.append(times, 2 * times[-1] - times[-2])
    mesh = axes.pcolormesh(times, np.arange(len(limits) + 1), np.ma.masked_less(counts, 0.01), cmap="YlGnBu", vmin=0)
    axes.grid(visible=False)
    axes.yaxis.set_major_locator(MaxNLocator(12, integer=True))
    names = ["0" if shown.start == 0 else "", *(_format(limit, panel.unit) for limit in limits)]
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: names[int(y)] if 0 <= y < len(names) else ""))
    bar = axes.figure.colorbar(mesh, ax=axes, pad=0.008, aspect=16, fraction=0.03)
    bar.set_label("requests", fontsize=8, color=_FAINT)
    bar.ax.tick_params(labelsize=7.5, colors=_FAINT, length=2)
    bar.outline.set_visible(False)


_DRAW = {"timeseries": _draw_curves, "stat": _draw_number, "heatmap": _draw_heatmap}


def _style(axes: Axes, panel: Panel, span: Span) -> None:
    axes.set_facecolor("#fafbfc")
    axes.grid(visible=True, color="#e3e6ea", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#c9ced6")
    axes.tick_params(labelsize=8, colors=_FAINT, length=2)
    locator = AutoDateLocator(minticks=3, maxticks=7)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _format(value, panel.unit)))
    first, last = _dates(np.array([span.start, span.end]))
    axes.set_xlim(first, last)


def _say_nothing(axes: Axes) -> None:
    axes.text(0.5, 0.5, "no data", color=_FAINT, fontsize=11, ha="center", va="center", transform=axes.transAxes)
    axes.set_yticks([])


def _colour(series: Series, index: int) -> str:
    """A status has always the same one."""
    if "route" not in series.labels and series.labels.get("status") in _STATUS:
        return _STATUS[series.labels["status"]]
    return _PALETTE[index % len(_PALETTE)]


def _dates(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Seconds since 1970 to matplotlib's days, in local time."""
    offset_s = time.localtime(float(seconds[0])).tm_gmtoff
    return np.asarray(date2num((seconds + offset_s).astype("datetime64[s]")))


def _format(value: float, unit: str) -> str:
    """A number as Grafana shows it."""
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "s":
        return f"{value:.3g} s" if abs(value) >= 1 or value == 0 else f"{1000 * value:.3g} ms"
    if unit in ("decbytes", "Bps"):
        per = "/s" if unit == "Bps" else ""
        for name, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
            if abs(value) >= size:
                return f"{value / size:.3g} {name}{per}"
        return f"{value:.3g} B{per}"
    return f"{value:.3g}/s" if unit == "reqps" else f"{value:.3g}"


def _seconds(text: str) -> int:
    """Prometheus' duration, such as 5s or 1m, to seconds, rounded up."""
    sizes = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
    total = 0.0
    digits = ""
    for part in text.replace("ms", "µ"):
        if part.isdigit():
            digits += part
        else:
            total += int(digits) * sizes["ms" if part == "µ" else part]
            digits = ""
    return math.ceil(total)


def main(
    prometheus: Annotated[str, typer.Option(help="Where Prometheus answers.")] = "http://127.0.0.1:9090",
    minutes: Annotated[float, typer.Option(min=1, help="How far back.")] = 15.0,
    out: Annotated[Path, typer.Option(dir_okay=False, help="The picture, PNG or SVG.")] = Path("dashboard.png"),
    model: Annotated[str, typer.Option(help="Models, as a regular expression.")] = ".+",
    dpi: Annotated[int, typer.Option(min=30, max=300)] = 80,
) -> None:
    """Draw the Grafana dashboard's panels, with its queries, from what Prometheus recorded."""
    now = time.time()
    step_s = max(math.ceil(60 * minutes / POINTS), 1)
    source = None
    try:
        source = Source(prometheus, Span(now - 60 * minutes, now, step_s), model=model)
        title = f"weakseg, {time.strftime('%Y-%m-%d %H:%M', time.localtime(now))}, last {minutes:g} minutes"
        figure = draw(read_panels(DASHBOARD), source, title)
    except (MonitorError, OSError) as error:
        print(f"weakseg: {prometheus} does not answer as Prometheus does: {error}")
        raise typer.Exit(1) from None
    figure.savefig(out, dpi=dpi)
    print(f"Drew {out}.")


if __name__ == "__main__":
    plt.switch_backend("agg")
    typer.run(main)
