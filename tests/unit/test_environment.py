"""scripts/env.sh and scripts/serve, with a Python that only notes down what it is asked to do; what both serve."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.archives import default_models

ROOT = Path(__file__).resolve().parents[2]
PYTHON = """#!/usr/bin/env bash
echo "$PWD: $*" >>"$NOTES"
case "$*" in
-c*) echo 3.11 ;;
"-m venv --clear .venv") rm -rf .venv && mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
esac
"""
PYTHON_WITHOUT_PIP = """#!/usr/bin/env bash
[ "$2" != pip ]
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The scripts, lock files to be installed, and python3.11."""
    root = tmp_path / "repository"
    for path in ("scripts/env.sh", "scripts/serve", "pyproject.toml", "requirements/serve.lock"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, root / path)
    _write_python(tmp_path / "python3.11", PYTHON)
    return root


def _write_python(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def serve(repository: Path, *arguments: str) -> list[str]:
    """What Python was asked to do, from a start in the directory above the repository."""
    caller = repository.parent
    environment = {
        "PATH": "/usr/bin:/bin",
        "WEAKSEG_PYTHON": str(caller / "python3.11"),
        "NOTES": str(caller / "notes"),
    }
    (caller / "notes").write_text("")
    command = [str(repository / "scripts" / "serve"), *arguments]
    subprocess.run(command, cwd=caller, env=environment, check=True, capture_output=True, timeout=60)
    return (caller / "notes").read_text().splitlines()


def test_an_environment_is_made_once(repository: Path) -> None:
    first = serve(repository)
    assert f"{repository}: -m venv --clear .venv" in first
    assert any("-m pip install" in line and "serve.lock" in line for line in first)
    assert len(serve(repository)) == 1  # the launcher alone


def test_an_environment_whose_making_was_interrupted_is_made_anew(repository: Path) -> None:
    _write_python(repository / ".venv" / "bin" / "python", PYTHON_WITHOUT_PIP)
    assert f"{repository}: -m venv --clear .venv" in serve(repository)


def test_an_outdated_environment_is_kept_and_completed(repository: Path) -> None:
    serve(repository)
    (repository / "pyproject.toml").write_text("[project]")
    again = serve(repository)
    assert not any("-m venv" in line for line in again)
    assert any("-m pip install" in line for line in again)


def test_the_launcher_runs_where_it_was_called(repository: Path) -> None:
    last = serve(repository, "--store", "./mine")[-1]
    assert last == f"{repository.parent}: -P -m scripts.launcher --store ./mine"


@pytest.mark.parametrize("name", ["config.properties", "config.container.properties"])
def test_torchserve_loads_the_models_that_the_launcher_builds(name: str) -> None:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    (loaded,) = (line.partition("=")[2] for line in lines if line.startswith("load_models="))
    assert loaded.split(",") == [f"{model}.mar" for model in default_models()]
