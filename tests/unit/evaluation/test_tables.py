"""The Markdown page from a small results document."""

import re
from typing import Any

import pytest

from weakseg.evaluation.tables import render_report
from weakseg.evaluation.techniques import SWEPT, THRESHOLDS


def scores(value: float | None) -> dict[str, Any]:
    names = ("miou", "fwiou", "macc", "precision", "recall", "f1")
    return {**dict.fromkeys(names, value), "per_class": {"cat": {"iou": value}, "dog": None}}


@pytest.fixture
def results() -> dict[str, Any]:
    shared = {"over": ["cat", "dog"], "options": {"refine": "grabcut", "levels": [0, 0.3, 1], "iterations": 1}}
    swept = {technique: {f"{t:.1f}": scores(t) for t in THRESHOLDS} for technique in SWEPT}
    predicted = {**shared, **scores(0.25), "over": ["background", "cat", "dog"], "miou_without_background": None}
    return {
        **{"model": "m", "version": "1.0", "network": "n", "method": "cam", "weights_source": "w"},
        **{
            "demonstration": False,
            "split": "val",
            "images": 3,
            "grabcut": {"side_px": 500, "box_context": None},
            "command": "weakseg evaluate",
        },
        "known_tags": {**shared, **scores(0.5)},
        "predicted_tags": predicted,
        "object_task": {**shared, **scores(0.755)},
        "sweep": {
            "iterations": 1,
            "side_px": 320,
            "thresholds": {
                "chosen_on": "train",
                **dict.fromkeys(("known_tags", "object_task"), dict.fromkeys(SWEPT, 0.7)),
            },
            "known_tags": swept,
            "object_task": {**swept, "grabcut": scores(0.123)},
        },
    }


def test_every_table_says_where_the_tags_come_from(results: dict[str, Any]) -> None:
    headings = [line for line in render_report(results, []).splitlines() if "mIoU |" in line or "cat |" in line]
    assert len(headings) == 4
    assert all("| tags |" in line for line in headings)


def test_the_page_says_what_predicted_tags_are(results: dict[str, Any]) -> None:
    page = render_report(results, [])
    assert "Predicted tags: the best-scoring VOC class of each photo (pick=best), a closed set of 20 names" in page


def test_percent_with_one_decimal_and_a_dash_for_nothing(results: dict[str, Any]) -> None:
    page = render_report(results, [])
    assert "| class | known | refine grabcut, iterations 1 | 50.0 | 50.0 |" in page
    assert "| class | predicted | – | 25.0 | – |" in page
    assert "| object (box) | known, box given | – | 75.5 | – |" in page


def test_the_papers_numbers_stand_beside_ours(results: dict[str, Any]) -> None:
    page = render_report(results, [])
    assert re.search(r"\| gccam PF PB \| 0\.7 \| known \| 70\.0 .*\| 0\.3 \| 34\.9 / 35\.8 / 76\.9 \|", page)
    assert re.search(r"\| grabcut \|  \| known, box given \| 12\.3 .*\| 67\.7 / 69\.5 / 95\.1 \|", page)
    assert "on train, without a look at val" in page


def test_rows_fit_their_headings(results: dict[str, Any]) -> None:
    for table in re.findall(r"(?:^\|.*\n)+", render_report(results, []), flags=re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_no_sweep_no_tables_1_and_2(results: dict[str, Any]) -> None:
    del results["sweep"]
    assert "Table 1" not in render_report(results, [])
