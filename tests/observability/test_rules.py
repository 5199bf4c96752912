"""Rules, alerts and Prometheus' configuration, by Prometheus' own checker."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.monitor import CONFIG, configure

ROOT = Path(__file__).parents[2]
RULES = CONFIG.parent / "rules"
TESTS = Path(__file__).with_name("rules.test.yml")


def read_rules(kind: str) -> dict[str, dict[str, Any]]:
    """Rules by name. Args: kind: alert or record."""
    documents = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in RULES.glob("*.yml")]
    rules = [rule for document in documents for group in document["groups"] for rule in group["rules"]]
    return {rule[kind]: rule for rule in rules if kind in rule}


ALERTS = read_rules("alert")


def run(*command: str | Path) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.prometheus
def test_rules_do_what_their_tests_say(promtool: Path) -> None:
    run(promtool, "test", "rules", TESTS)


@pytest.mark.prometheus
def test_a_rule_test_that_is_wrong_fails(promtool: Path, tmp_path: Path) -> None:
    text = TESTS.read_text(encoding="utf-8").replace("../../deploy", str(ROOT / "deploy"))
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(text.replace('alertname="WeaksegSlow",alertstate="firing",severity="warning"', 'alertname="X"'))
    done = subprocess.run([promtool, "test", "rules", wrong], capture_output=True)
    assert done.returncode != 0


@pytest.mark.prometheus
def test_prometheus_takes_the_configuration_and_what_the_monitor_makes_of_it(promtool: Path, tmp_path: Path) -> None:
    run(promtool, "check", "config", CONFIG)
    derived = tmp_path / "prometheus.yml"
    derived.write_text(configure(CONFIG.read_text(), target="127.0.0.1:1", interval_s=2, rules=RULES))
    assert "SUCCESS: 2 rule files found" in run(promtool, "check", "config", derived)
    job = yaml.safe_load(derived.read_text())["scrape_configs"][0]
    assert (job["job_name"], job["static_configs"]) == ("weakseg", [{"targets": ["127.0.0.1:1"]}])


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_says_what_it_is_and_what_to_do(name: str) -> None:
    rule = ALERTS[name]
    assert re.fullmatch(r"Weakseg[A-Z]\w+", name)
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert rule["annotations"]["summary"].endswith(".")
    assert len(rule["annotations"]["action"]) > 60


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_is_seen_to_fire_in_a_test(name: str) -> None:
    expected = re.findall(r'labels: \'ALERTS{alertname="(\w+)",alertstate="firing"', TESTS.read_text(encoding="utf-8"))
    assert name in expected


def test_every_recorded_series_is_checked_by_a_number() -> None:
    tested = TESTS.read_text(encoding="utf-8")
    unchecked = [name for name in read_rules("record") if name not in tested]
    assert unchecked == ["job_instance_model:weakseg_worker_memory_bytes:mean"], "which the growth of memory shows"
