"""The parent of a service's two programs: it stops them in order, and both where one of them ends.

    python -m scripts.supervisor PROGRAMS.json [FOLDER]

FOLDER is removed at the end: nobody else may be there to do it.
It leads the service's session. SIGTERM and SIGINT stop the service: the front first, which answers what is under way,
then TorchServe, then whatever is left of the session.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

import psutil

POLL_S = 0.2
LOG_BYTES = 50_000_000  # of a file that a program prints to; the one before stays as NAME.1


@dataclass(frozen=True, slots=True)
class Program:
    """One of the two.

    Args:
        environment: Beside the supervisor's own.
        output, errors: Files for what it prints; None: where the supervisor's own goes.
        stop_timeout_s: How long it may take to end after SIGTERM; then it is killed.
        with_children: SIGTERM goes to the processes that it started, too: TorchServe's Python parent passes none on.
    """

    name: str
    command: list[str]
    environment: dict[str, str]
    cwd: str
    output: str | None
    errors: str | None
    stop_timeout_s: float
    with_children: bool = False


def write_programs(path: Path, programs: Sequence[Program]) -> None:
    """Programs in the order in which they are stopped."""
    path.write_text(json.dumps([asdict(program) for program in programs]), encoding="utf-8")


def read_programs(path: Path) -> list[Program]:
    return [Program(**fields) for fields in json.loads(path.read_text(encoding="utf-8"))]


class Supervisor:
    """Starts programs, waits for the first end or a signal, and stops the rest."""

    def __init__(self, programs: Sequence[Program]) -> None:
        self._programs = programs
        self._running: list[subprocess.Popen[bytes]] = []
        self._asked_to_stop = False

    def run(self) -> int:
        """0: stopped by a signal; 1: a program ended by itself."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask_to_stop)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # whoever started it may close their terminal
        try:
            self._watch()
        finally:  # also where a program cannot be started: nobody else would stop the other one
            for program, process in zip(self._programs, self._running, strict=False):
                _stop(program, process)
            _kill_session()
        return 0 if self._asked_to_stop else 1

    def _watch(self) -> None:
        """Start all of them; returns after a signal, or once one has ended."""
        for program in self._programs:
            if not self._asked_to_stop:
                self._running.append(_start(program))
        while not self._asked_to_stop and not (ended := self._ended()):
            self._roll_logs()
            time.sleep(POLL_S)
        if not self._asked_to_stop:
            said = ", ".join(f"{name} ended by itself (status {status})" for name, status in ended)
            _say(f"{said}; the service stops.")

    def _roll_logs(self) -> None:
        for path in {path for program in self._programs for path in (program.output, program.errors) if path}:
            roll(Path(path), LOG_BYTES)

    def _ask_to_stop(self, _: int, __: FrameType | None) -> None:
        self._asked_to_stop = True

    def _ended(self) -> list[tuple[str, int]]:
        statuses = [process.poll() for process in self._running]
        return [
            (program.name, status)
            for program, status in zip(self._programs, statuses, strict=False)
            if status is not None
        ]


def roll(log: Path, limit_bytes: int) -> None:
    """Empty a file that has grown beyond ``limit_bytes``, with a copy beside it.

    Its program goes on writing: it has opened the file to append. Lines that come between the copy and the emptying are
    lost; so are all of them where the disk has no space for a copy.
    """
    try:
        if not log.is_file() or log.stat().st_size <= limit_bytes:
            return
        try:
            shutil.copyfile(log, log.with_name(f"{log.name}.1"))
        except OSError as error:
            _say(f"{log} could not be kept: {error}")
        os.truncate(log, 0)
    except OSError as error:  # removed by somebody meanwhile: no reason to end the service
        _say(f"{log} could not be emptied: {error}")


def _start(program: Program) -> subprocess.Popen[bytes]:
    output, errors = _open(program.output), _open(program.errors)
    try:
        return subprocess.Popen(
            program.command,
            cwd=program.cwd,
            env={**os.environ, **program.environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
        )
    finally:
        for file in (output, errors):
            if file is not None:
                os.close(file)


def _open(path: str | None) -> int | None:
    return None if path is None else os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def _stop(program: Program, process: subprocess.Popen[bytes]) -> None:
    """Ask, wait, and say so where that does not help."""
    if process.poll() is not None:
        return
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process.pid)
        for asked in (program.with_children and parent.children()) or [parent]:
            asked.terminate()
    try:
        process.wait(program.stop_timeout_s)
    except subprocess.TimeoutExpired:
        _say(f"{program.name} did not stop within {program.stop_timeout_s:g} s and is killed.")


def _kill_session() -> None:
    """Whatever is left: programs that did not listen, and workers that they left behind."""
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, ProcessLookupError, PermissionError):
            if os.getsid(process.pid) == os.getsid(0) and process.pid != os.getpid():
                process.kill()


def _say(line: str) -> None:
    print(f"weakseg: {line}", file=sys.stderr, flush=True)


def main(programs: str, folder: str | None = None) -> int:
    try:
        return Supervisor(read_programs(Path(programs))).run()
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
