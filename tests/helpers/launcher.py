"""The real launcher, run as ./scripts/serve runs it, without making an environment first."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from scripts.instance import PORTS

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 900  # a first start on a slow machine exports the default models


def free_ports(count: int = len(PORTS)) -> int:
    """The first of ``count`` free ports in a row."""
    for first in range(21_000 + os.getpid() % 5_000, 32_000, count):
        sockets = [socket.socket() for _ in range(count)]
        try:
            for offset, probe in enumerate(sockets):
                probe.bind(("127.0.0.1", first + offset))
        except OSError:
            continue
        else:
            return first
        finally:
            for probe in sockets:
                probe.close()
    raise RuntimeError("no free ports")


@dataclass(frozen=True)
class Launcher:
    """A launcher with a store, a state folder and ports of its own."""

    store: Path
    state: Path
    port: int
    environment: Mapping[str, str] = field(default_factory=dict)  # beside this process's own

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def management_url(self) -> str:
        return f"http://127.0.0.1:{self.port + 1}"

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return _wait(self.popen(*arguments))

    def models(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """As ``./scripts/models``."""
        return _wait(self._popen("scripts.models", *arguments))

    def popen(self, *arguments: str) -> subprocess.Popen[str]:
        if "--stop" not in arguments:
            arguments += ("--store", str(self.store), "--port", str(self.port))
        return self._popen("scripts.launcher", *arguments)

    def _popen(self, module: str, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", module, *arguments, "--state", str(self.state)]
        path = os.pathsep.join(filter(None, [str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH")]))
        environment = os.environ | dict(self.environment) | {"PYTHONPATH": path, "COLUMNS": "1000"}
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )


def _wait(running: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """Its end, and all that it said; where it hangs, it is told to stop, which stops what it has started."""
    try:
        out, _ = running.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        running.terminate()
        out, _ = running.communicate(timeout=TIMEOUT_S)
        raise AssertionError(f"{running.args} did not end within {TIMEOUT_S} s: {out}") from None
    return subprocess.CompletedProcess(running.args, running.returncode, out)


def session_members(session: int) -> list[str]:
    """Command lines of all living processes of a session."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        try:
            if os.getsid(process.pid) == session and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.info["cmdline"] or ["?"]))
        except (ProcessLookupError, PermissionError):
            continue
    return found
