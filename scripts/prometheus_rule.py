"""Prometheus' rules as Kubernetes takes them: `python -m scripts.prometheus_rule` writes them anew.

deploy/prometheus/rules is where rules are written and tested. The Prometheus Operator wants the same groups inside an
object of its own, and kustomize cannot wrap a file; a test fails when the two differ.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
RULES = ROOT / "deploy" / "prometheus" / "rules"
TARGET = ROOT / "deploy" / "kubernetes" / "components" / "monitoring" / "prometheusrule.yaml"
HEADER = "# Written by `python -m scripts.prometheus_rule` from deploy/prometheus/rules; change those.\n"


class _Readable(yaml.SafeDumper):
    """Texts of several lines stay texts of several lines."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Readable.add_representer(str, _represent_text)


def make_rule(folder: Path) -> dict[str, Any]:
    """A PrometheusRule with the groups of all rule files of a folder, in the order of the files' names."""
    documents = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.yml"))]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "weakseg", "labels": {"app.kubernetes.io/name": "weakseg"}},
        "spec": {"groups": [group for document in documents for group in document["groups"]]},
    }


def as_text(rule: dict[str, Any]) -> str:
    return HEADER + yaml.dump(rule, Dumper=_Readable, sort_keys=False, width=120, allow_unicode=True)


if __name__ == "__main__":
    TARGET.write_text(as_text(make_rule(RULES)), encoding="utf-8")
    print(f"{TARGET.relative_to(ROOT)} is written.")
