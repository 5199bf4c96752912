"""The plot of `tests.load.curve`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from benchmarks.report import Row

PERCENTILES = ("p50 ms", "p95 ms", "p99 ms")


def draw_curve(rows: Sequence[Row], capacity: float, path: Path) -> Path:
    """Left: latency against what is offered; right: what is answered of it. A dashed line marks the capacity."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    offered = [row["offered"] for row in rows]
    for name in PERCENTILES:
        left.plot(offered, [row[name] for row in rows], marker="o", label=name.removesuffix(" ms"))
    left.set(ylabel="latency from the scheduled time, ms", yscale="log")
    left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    left.yaxis.set_major_formatter("{x:g}")
    left.yaxis.set_minor_formatter(NullFormatter())
    right.plot(offered, [row["answered"] for row in rows], marker="o", label="answered")
    right.plot(offered, offered, color="grey", linewidth=1, label="offered")
    right.set(ylabel="requests per second", ylim=(0, None))
    for axes in (left, right):
        axes.axvline(capacity, color="black", linestyle="--", linewidth=1, label="capacity, closed loop")
        axes.set(xlabel="offered, requests per second", xlim=(0, None))
        axes.grid(alpha=0.3, which="both")
        axes.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return path
