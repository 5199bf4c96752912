"""docs/observability.md names all that there is, and nothing that is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.helpers.metrics import registry_of_everything
from tests.helpers.threads import LoopThread
from tests.observability.test_rules import ALERTS, read_rules

DOCUMENT = (Path(__file__).parents[2] / "docs" / "observability.md").read_text(encoding="utf-8")
OF_GPUS = {"weakseg_gpu_memory_used_bytes", "weakseg_gpu_memory_bytes", "weakseg_gpu_utilization_ratio"}


@pytest.fixture(scope="module")
def names() -> set[str]:
    """Of all metrics, as queries write them."""
    with LoopThread() as thread:
        found = {sample.name for family in registry_of_everything(thread).collect() for sample in family.samples}
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in found} | OF_GPUS


def test_every_metric_is_explained(names: set[str]) -> None:
    assert [name for name in sorted(names) if f"`{name}`" not in DOCUMENT] == []


def test_every_metric_that_is_explained_exists(names: set[str]) -> None:
    assert sorted(set(re.findall(r"^\| `(weakseg_\w+)`", DOCUMENT, re.MULTILINE)) - names) == []


def test_every_alert_is_in_the_table_and_no_other() -> None:
    assert set(re.findall(r"^\| `(Weakseg\w+)`", DOCUMENT, re.MULTILINE)) == set(ALERTS)


def test_queries_of_rules_name_metrics_that_exist(names: set[str]) -> None:
    rules = [*ALERTS.values(), *read_rules("record").values()]
    asked = {name for rule in rules for name in re.findall(r"(?<![:\w])weakseg_\w+", rule["expr"])}
    assert len(asked) > 10
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked} - names == set()
