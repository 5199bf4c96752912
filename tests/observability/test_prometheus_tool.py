"""Where prometheus and promtool come from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scripts import prometheus
from scripts.prometheus import ToolError


def make_program(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder in PATH, beside the shell's own tools."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "mkdir", "touch", "cat"):
        (folder / name).symlink_to(
            next(Path(part) / name for part in os.defpath.split(":") if (Path(part) / name).exists())
        )
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_what_is_installed_is_taken(programs: Path, tmp_path: Path) -> None:
    make_program(programs / "promtool", "true")
    assert prometheus.get("promtool", tmp_path / "tools") == programs / "promtool"
    assert not (tmp_path / "tools").exists()


def test_debian_s_package_is_unpacked_once(programs: Path, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    make_program(programs / "apt-get", f'echo "$@" >> {calls}; touch prometheus_2_amd64.deb')
    make_program(programs / "dpkg", 'mkdir -p "$3/usr/bin"; touch "$3/usr/bin/prometheus" "$3/usr/bin/promtool"')
    tools = tmp_path / "state" / "tools"
    for name in ("prometheus", "promtool", "prometheus"):
        assert prometheus.get(name, tools) == tools / "usr" / "bin" / name
    assert calls.read_text() == "download prometheus\n"
    assert sorted(path.name for path in tools.parent.iterdir()) == ["tools", "tools.lock"], "nothing else is left"


def test_elsewhere_it_says_what_to_install(programs: Path, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"no Debian.*apt install prometheus"):
        prometheus.get("prometheus", tmp_path / "tools")


def test_a_download_that_fails_says_why_and_leaves_nothing(programs: Path, tmp_path: Path) -> None:
    make_program(programs / "apt-get", "echo 'E: Unable to locate package'; exit 100")
    make_program(programs / "dpkg", "exit 1")
    with pytest.raises(ToolError, match=r"Unable to locate package.*Install Prometheus"):
        prometheus.get("prometheus", tmp_path / "tools")
    assert not (tmp_path / "tools").exists()
