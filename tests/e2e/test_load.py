"""The load test itself, for a few seconds: many answers at once, all of them right."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

from tests.e2e.conftest import Service

ROOT = Path(__file__).resolve().parents[2]


def test_mixed_load_without_a_wrong_answer(service: Service, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "locust", "-f", "tests/load/locustfile.py", "--headless", "--only-summary"]
    command += ["-u", "4", "-r", "4", "-t", "8s", "--stop-timeout", "60s", "--csv", str(tmp_path / "load")]
    done = subprocess.run(
        [*command, "--host", service.launcher.url], cwd=ROOT, env=_environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    total = _read(tmp_path / "load_stats.csv")[-1]
    assert total["Name"] == "Aggregated"
    assert int(total["Failure Count"]) == 0
    assert int(total["Request Count"]) > 8  # more than each user's first request


def _environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH")]))
    return os.environ | {"PYTHONPATH": path}


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
