"""Prometheus and promtool: those in PATH, or Debian's package, unpacked into .weakseg/tools without being installed."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "prometheus"  # Debian's; it holds promtool, too
TOOLS = ROOT / ".weakseg" / "tools" / PACKAGE  # the package, unpacked
_INSTALL = (
    "Install Prometheus (Debian, Ubuntu: apt install prometheus) so that `prometheus` and `promtool` are in PATH."
)
_TIMEOUT_S = 300


class ToolError(Exception):
    """A tool is not there and cannot be had. The message has the remedy."""


def get(name: str, tools: Path = TOOLS) -> Path:
    """Where ``prometheus`` or ``promtool`` is. The first call on a Debian machine without it downloads 20 MB.

    Raises:
        ToolError: it is neither here nor to be had from Debian.
    """
    installed = shutil.which(name)
    if installed is not None:
        return Path(installed)
    unpacked = tools / "usr" / "bin" / name
    if not unpacked.exists():
        _unpack(tools)
    if not unpacked.exists():
        raise ToolError(f"{PACKAGE}'s package has no {name}. {_INSTALL}")
    return unpacked


def _unpack(tools: Path) -> None:
    """All of the package or nothing; two at once: the second finds what the first one made."""
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise ToolError(f"Prometheus is not in PATH, and this is no Debian. {_INSTALL}")
    tools.parent.mkdir(parents=True, exist_ok=True)
    with tools.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if tools.exists():
            return
        with tempfile.TemporaryDirectory(dir=tools.parent) as folder:
            _run(["apt-get", "download", PACKAGE], Path(folder))
            (package,) = Path(folder).glob("*.deb")
            _run(["dpkg", "-x", str(package), "tools"], Path(folder))
            (Path(folder) / "tools").rename(tools)


def _run(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolError(f"{' '.join(command)} did not run: {error}. {_INSTALL}") from error
    if done.returncode != 0:
        raise ToolError(f"{' '.join(command)} failed: {done.stdout.strip()}. {_INSTALL}")
