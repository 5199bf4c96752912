"""The load test itself, for a few seconds: many answers at once, all of them right."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Service
from tests.load.samples import read_samples

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("loop", [("-u", "4", "-r", "4"), ("--rate", "6", "--arrivals", "poisson", "--check", "late")])
def test_mixed_load_without_a_wrong_answer(service: Service, tmp_path: Path, loop: tuple[str, ...]) -> None:
    """Both models, all transports; a closed loop, and an open one whose answers are checked afterwards."""
    command = [sys.executable, "-m", "locust", "-f", "tests/load/locustfile.py", "--headless", "--only-summary"]
    command += ["-t", "8s", "--stop-timeout", "60s", "--csv", str(tmp_path / "load"), *loop]
    command += ["--html", str(tmp_path / "load.html"), "--samples", str(tmp_path / "samples.csv")]
    done = subprocess.run(
        [*command, "--host", service.launcher.url], cwd=ROOT, env=_environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    total = _read(tmp_path / "load_stats.csv")[-1]
    assert total["Name"] == "Aggregated"
    assert int(total["Failure Count"]) == 0
    samples = read_samples(tmp_path / "samples.csv")
    assert len(samples) > 8
    assert len({sample.name for sample in samples}) > 4  # of several kinds
    assert all(sample.status and not sample.fault for sample in samples)
    assert "Locust" in (tmp_path / "load.html").read_text(encoding="utf-8")


def test_a_wrong_answer_fails_the_load_test(service: Service) -> None:
    """A model that is not served: its labels cannot be asked for."""
    command = [sys.executable, "-m", "locust", "-f", "tests/load/locustfile.py", "--headless", "--only-summary"]
    command += ["-t", "3s", "--rate", "5", "--models", "none_such", "--host", service.launcher.url]
    done = subprocess.run(command, cwd=ROOT, env=_environment(), capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "none_such does not answer: 404" in done.stdout + done.stderr


def _environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH")]))
    return os.environ | {"PYTHONPATH": path}


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
