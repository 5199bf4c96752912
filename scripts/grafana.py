"""Grafana's dashboard file, read: panels, their places, and the queries that Prometheus is asked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.prometheus import ROOT

DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "weakseg.json"
KINDS = ("row", "timeseries", "stat", "heatmap")
COLUMNS = 24  # of Grafana's grid


class DashboardError(Exception):
    """The file is none of ours. The message says where."""


@dataclass(frozen=True, slots=True)
class Query:
    expr: str  # with Grafana's variables
    legend: str  # with {{label}}

    def fill_in(self, *, model: str, interval_s: int) -> str:
        """What Prometheus is asked.

        Args:
            model: A regular expression for variable ``model``.
            interval_s: Of ``$__rate_interval``: four scrapes at least.
        Raises:
            DashboardError: it has other variables.
        """
        filled = self.expr.replace("$__rate_interval", f"{interval_s}s").replace("$model", model)
        if "$" in filled:
            raise DashboardError(f"{self.expr!r} has a variable that is neither $model nor $__rate_interval.")
        return filled

    def name(self, labels: dict[str, str]) -> str:
        """The legend of one series."""
        return re.sub(r"{{\s*(\w+)\s*}}", lambda found: labels.get(found[1], ""), self.legend).strip()


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel, in Grafana's grid of 24 columns."""

    title: str
    description: str
    kind: str
    unit: str
    queries: tuple[Query, ...]
    x: int
    y: int
    width: int
    height: int
    stacked: bool = False
    bars: bool = False
    highest: float | None = None  # of the axis
    steps: tuple[tuple[float, str], ...] = ()  # value from which on a stat has this colour


def read_panels(path: Path = DASHBOARD) -> list[Panel]:
    """All panels, rows among them, from top to bottom.

    Raises:
        DashboardError: a kind of panel that is not known here.
    """
    document = json.loads(path.read_text(encoding="utf-8"))
    return sorted(map(_read_panel, document["panels"]), key=lambda panel: (panel.y, panel.x))


def queries(panels: Iterable[Panel]) -> list[Query]:
    return [query for panel in panels for query in panel.queries]


def _read_panel(entry: dict[str, Any]) -> Panel:
    if entry["type"] not in KINDS:
        raise DashboardError(f"panel {entry['title']!r} is a {entry['type']}; known are {', '.join(KINDS)}.")
    defaults = entry.get("fieldConfig", {}).get("defaults", {})
    custom, place = defaults.get("custom", {}), entry["gridPos"]
    unit = entry["options"]["yAxis"]["unit"] if entry["type"] == "heatmap" else defaults.get("unit", "short")
    steps = defaults.get("thresholds", {}).get("steps", ())
    return Panel(
        entry["title"],
        entry.get("description", ""),
        entry["type"],
        unit,
        tuple(Query(target["expr"], target["legendFormat"]) for target in entry.get("targets", ())),
        place["x"],
        place["y"],
        place["w"],
        place["h"],
        stacked=custom.get("stacking", {}).get("mode") == "normal",
        bars=custom.get("drawStyle") == "bars",
        highest=defaults.get("max"),
        steps=tuple((float("-inf") if step["value"] is None else step["value"], step["color"]) for step in steps),
    )
