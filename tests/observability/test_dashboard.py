"""The Grafana files, and their panels drawn without Grafana."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import yaml

from scripts import dashboard, grafana
from scripts.dashboard import Series, Source, Span
from scripts.grafana import COLUMNS, DASHBOARD, DashboardError, Query, read_panels

PROVISIONING = DASHBOARD.parents[1] / "provisioning"
DOCUMENT = json.loads(DASHBOARD.read_text(encoding="utf-8"))
PANELS = read_panels()
ROWS = ["Traffic", "Latency", "Batches and queue", "Quality", "Resources", "Errors"]


@pytest.fixture(autouse=True)
def no_window() -> Iterator[None]:
    plt.switch_backend("agg")
    yield
    plt.close("all")


class FakeSource:
    """Curves that rise from 1 on, three per query, with a gap."""

    span = Span(1_700_000_000.0, 1_700_000_600.0, 10)

    def __init__(self, *, empty: bool = False) -> None:
        self.asked: list[Query] = []
        self._empty = empty

    def series(self, query: Query) -> list[Series]:
        self.asked.append(query)
        times = np.arange(self.span.start, self.span.end + 1e-6, self.span.step_s)
        values = np.linspace(1, 2, len(times))
        values[10:15] = math.nan
        limits = ("0.1", "0.5", "+Inf")
        made = [
            Series(query.name({"model": f"m{limit}"}), {"le": limit, "model": f"m{limit}"}, times, values * index)
            for index, limit in enumerate(limits, start=1)
        ]
        return [] if self._empty else made


def test_the_dashboard_has_its_rows_in_order() -> None:
    assert [panel.title for panel in PANELS if panel.kind == "row"] == ROWS


def test_panels_lie_beside_each_other_and_never_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        cells = {(x, y) for x in range(panel.x, panel.x + panel.width) for y in range(panel.y, panel.y + panel.height)}
        assert not cells & taken, panel.title
        assert panel.x + panel.width <= COLUMNS, panel.title
        taken |= cells


def test_every_panel_can_be_shown_by_grafana() -> None:
    ids = [panel["id"] for panel in DOCUMENT["panels"]]
    assert len(set(ids)) == len(ids)
    assert DOCUMENT["uid"] == "weakseg"
    assert isinstance(DOCUMENT["schemaVersion"], int)
    for entry in DOCUMENT["panels"]:
        if entry["type"] == "row":
            continue
        assert entry["description"].endswith("."), entry["title"]
        assert entry["fieldConfig"]["defaults"]["unit"], entry["title"]
        assert entry["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, entry["title"]
        assert [target["refId"] for target in entry["targets"]] == list("ABC"[: len(entry["targets"])]), entry["title"]


def test_variables_are_those_that_queries_use() -> None:
    variables = {variable["name"]: variable for variable in DOCUMENT["templating"]["list"]}
    assert set(variables) == {"datasource", "model"}
    assert variables["model"]["allValue"] == ".+"
    for query in grafana.queries(PANELS):
        filled = query.fill_in(model=".+", interval_s=60)
        assert "[60s]" in filled or "rate_interval" not in query.expr


def test_provisioning_finds_dashboard_and_data() -> None:
    (provider,) = yaml.safe_load((PROVISIONING / "dashboards" / "weakseg.yml").read_text())["providers"]
    assert provider["options"]["path"].endswith(f"/{DASHBOARD.parent.name}")
    (source,) = yaml.safe_load((PROVISIONING / "datasources" / "prometheus.yml").read_text())["datasources"]
    current = DOCUMENT["templating"]["list"][0]["current"]["value"]
    assert (source["type"], source["uid"]) == ("prometheus", current)


def test_a_query_with_another_variable_is_refused() -> None:
    with pytest.raises(DashboardError, match=r"neither \$model nor \$__rate_interval"):
        Query("up[$__range]", "").fill_in(model=".+", interval_s=60)


def test_a_panel_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps({"panels": [{"type": "piechart", "title": "Cake"}]}))
    with pytest.raises(DashboardError, match="'Cake' is a piechart"):
        read_panels(broken)


def test_legends_take_their_words_from_labels() -> None:
    assert Query("up", "{{model}} {{ state }}").name({"model": "cat", "state": "ready"}) == "cat ready"
    assert Query("up", "{{process}} {{model}}").name({"process": "front"}) == "front"


@pytest.mark.parametrize("empty", [False, True])
def test_every_panel_is_drawn_from_its_own_queries(empty: bool, tmp_path: Path) -> None:
    source = FakeSource(empty=empty)
    figure = dashboard.draw(PANELS, source, "a title")  # type: ignore[arg-type]
    assert source.asked == grafana.queries(PANELS)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    shown = [panel.title for panel in PANELS if panel.kind != "row"]
    assert [title for title in titles if title] == shown
    figure.savefig(tmp_path / "drawn.png", dpi=30)
    assert (tmp_path / "drawn.png").stat().st_size > 10_000
    curves = next(axes for axes in figure.axes if axes.get_title(loc="left") == "Requests by model")
    words = [text.get_text() for text in curves.texts]
    assert ("no data" in words) == empty
    if not empty:
        assert [text.get_text() for text in curves.get_legend().get_texts()] == ["m0.1", "m0.5", "m+Inf"]


def test_gaps_stay_gaps_and_points_keep_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(url: str) -> dict[str, Any]:
        asked.append(url)
        if "targets" in url:
            return {"activeTargets": [{"scrapeInterval": "1m30s"}]}
        return {"result": [{"metric": {"model": "cat"}, "values": [[100, "1"], [130, "4"], [140, "NaN"]]}]}

    monkeypatch.setattr(dashboard, "ask", answer)
    source = Source("http://127.0.0.1:9/", Span(100.0, 140.0, 10))
    (series,) = source.series(Query('rate(up{model=~"$model"}[$__rate_interval])', "{{model}}"))
    np.testing.assert_equal(series.values, [1, math.nan, math.nan, 4, math.nan])
    assert series.name == "cat"
    assert "%5B360s%5D" in asked[-1], "four scrapes at least"


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0.0123, "s", "12.3 ms"), (0, "s", "0 s"), (2.5, "s", "2.5 s"), (0.5, "percentunit", "50 %"),
        (1.4e9, "decbytes", "1.4 GB"), (512, "Bps", "512 B/s"), (3.25, "reqps", "3.25/s"), (4, "short", "4"),
    ],
)  # fmt: skip
def test_units(value: float, unit: str, shown: str) -> None:
    assert dashboard._format(value, unit) == shown


@pytest.mark.parametrize(("text", "seconds"), [("5s", 5), ("1m", 60), ("1m30s", 90), ("500ms", 1), ("1h", 3600)])
def test_durations_of_prometheus(text: str, seconds: int) -> None:
    assert dashboard._seconds(text) == seconds
