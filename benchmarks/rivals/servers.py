"""Start a rival's server, wait until it answers, and end all of its processes."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.load import LoadError, Target, send

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
READY_TIMEOUT_S = 180
STOP_TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class Wanted:
    """The same for every rival; as far as it has such a setting."""

    archive: Path
    workers: int
    batch: int
    delay_ms: int


@dataclass(frozen=True, slots=True)
class Rival:
    """A server that runs."""

    name: str
    pid: int
    target: Target
    answer: Callable[[bytes], bytes]  # its body to weakseg's own


@contextmanager
def running(name: str, python: Path, wanted: Wanted, photo: bytes, log: Path) -> Iterator[Rival]:
    """A rival's server until the block ends.

    Args:
        python: Of its environment.
    Raises:
        RivalError: it ended, or did not answer within READY_TIMEOUT_S; has its log's tail.
    """
    port = _free_port()
    command, settings, target, answer = _RECIPES[name](wanted, port, photo)
    paths = os.pathsep.join(filter(None, [str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH")]))
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(python), *command],
            env={**os.environ, "PYTHONPATH": paths, **settings},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait(name, process, target, log)
        yield Rival(name, process.pid, target, answer)
    finally:
        _end(process)


class RivalError(Exception):
    """A rival's server did not start."""


Recipe = tuple[Sequence[str], dict[str, str], Target, Callable[[bytes], bytes]]


def _litserve(wanted: Wanted, port: int, photo: bytes) -> Recipe:
    numbers = (port, wanted.workers, wanted.batch, wanted.delay_ms)
    command = ["-m", "benchmarks.rivals.litserve_app", str(wanted.archive), *map(str, numbers)]
    return command, {}, Target(HOST, port, "/predict", photo, {"Content-Type": "image/jpeg"}), lambda body: body


def _bentoml(wanted: Wanted, port: int, photo: bytes) -> Recipe:
    command = ["-m", "bentoml", "serve", "benchmarks.rivals.bentoml_app:Segmenter", "--host", HOST, "--port", str(port)]
    settings = {
        "RIVAL_ARCHIVE": str(wanted.archive),
        "RIVAL_WORKERS": str(wanted.workers),
        "RIVAL_BATCH": str(wanted.batch),
        "BENTOML_DO_NOT_TRACK": "True",
    }
    body = json.dumps({"images": [base64.b64encode(photo).decode()]}).encode()
    target = Target(HOST, port, "/predict", body, {"Content-Type": "application/json"})
    return command, settings, target, lambda answered: base64.b64decode(json.loads(answered)[0])


_RECIPES: dict[str, Callable[[Wanted, int, bytes], Recipe]] = {"litserve": _litserve, "bentoml": _bentoml}
RIVALS = tuple(_RECIPES)


def _wait(name: str, process: subprocess.Popen[bytes], target: Target, log: Path) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError, LoadError):
            send(target)
            return
        time.sleep(0.5)
    tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
    raise RivalError(f"{name} does not answer; leave it out with --without {name}, or mend it. Its log ends:\n{tail}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """With every process that it started: some are in sessions of their own."""
    with suppress(psutil.NoSuchProcess):
        members = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        process.terminate()
        _, alive = psutil.wait_procs(members, timeout=STOP_TIMEOUT_S)
        for member in alive:
            member.kill()
    process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
