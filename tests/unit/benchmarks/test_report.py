from __future__ import annotations

import json

from benchmarks.report import Report, Table

TABLE = Table(
    "Times", [{"stage": "decode", "n": 3, "ms": 4.5678}, {"stage": "network", "n": 12, "ms": 123.45}], "Note."
)


def test_a_table_is_aligned_markdown() -> None:
    assert TABLE.to_markdown().splitlines() == [
        "## Times",
        "",
        "| stage   |  n |    ms |",
        "| ------- | -: | ----: |",
        "| decode  |  3 |  4.57 |",
        "| network | 12 | 123.5 |",
        "",
        "Note.",
    ]


def test_json_keeps_every_digit_and_says_on_what_it_was_measured() -> None:
    report = json.loads(Report("Speed", {"CPU": "one"}, {"threads": "1"}, [TABLE]).to_json())
    assert report["tables"]["Times"][0]["ms"] == 4.5678
    assert (report["title"], report["machine"], report["setup"]) == ("Speed", {"CPU": "one"}, {"threads": "1"})
