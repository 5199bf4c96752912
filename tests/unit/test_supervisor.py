"""The supervisor, with small programs in the place of TorchServe and the front."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.supervisor import Program, roll, write_programs
from tests.helpers.launcher import ROOT, session_members

# Says that it runs, and on SIGTERM that it stops; with an argument it does not listen.
LISTENS = """
import signal, sys, time
def stop(*_):
    print("stops", sys.argv[1], flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop if len(sys.argv) < 3 else signal.SIG_IGN)
print("runs", sys.argv[1], flush=True)
while True:
    time.sleep(0.05)
"""
PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[2], sys.argv[1]])"
ENDS = "import sys; sys.exit(3)"


def program(folder: Path, name: str, *command: str, timeout_s: float = 20, with_children: bool = False) -> Program:
    return Program(
        name, [sys.executable, "-c", *command], {}, str(folder), str(folder / "said"), None, timeout_s, with_children
    )


def supervise(folder: Path, *programs: Program) -> subprocess.Popen[str]:
    """A supervisor that has started its programs, as far as they say so."""
    write_programs(folder / "programs.json", programs)
    (folder / "temporary").mkdir()
    return subprocess.Popen(
        [sys.executable, "-m", "scripts.supervisor", str(folder / "programs.json"), str(folder / "temporary")],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(folder: Path, *lines: str) -> None:
    said = folder / "said"
    for _ in range(2400):
        if said.exists() and set(lines) <= set(said.read_text().splitlines()):
            return
        time.sleep(0.05)
    raise AssertionError(f"nobody says {lines}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_one_after_the_other(tmp_path: Path, number: signal.Signals) -> None:
    second = program(tmp_path, "second", PARENT, "second", LISTENS, with_children=True)
    running = supervise(tmp_path, program(tmp_path, "first", LISTENS, "first"), second)
    wait_for(tmp_path, "runs first", "runs second")
    running.send_signal(number)
    _, errors = running.communicate(timeout=180)
    assert (running.returncode, errors) == (0, "")
    assert (tmp_path / "said").read_text().splitlines()[2:] == ["stops first", "stops second"]
    assert session_members(running.pid) == []


def test_when_one_ends_the_other_is_stopped(tmp_path: Path) -> None:
    running = supervise(tmp_path, program(tmp_path, "first", LISTENS, "first"), program(tmp_path, "second", ENDS))
    _, errors = running.communicate(timeout=180)
    assert running.returncode == 1
    assert "second ended by itself (status 3)" in errors
    assert not (tmp_path / "temporary").exists()
    assert session_members(running.pid) == []


def test_a_program_that_cannot_be_started_leaves_nothing_behind(tmp_path: Path) -> None:
    first = program(tmp_path, "first", LISTENS, "first")
    running = supervise(tmp_path, first, Program("second", ["/no/such/program"], {}, str(tmp_path), None, None, 20))
    _, errors = running.communicate(timeout=180)
    assert running.returncode == 1
    assert "/no/such/program" in errors
    assert not (tmp_path / "temporary").exists()
    assert session_members(running.pid) == []


def test_who_does_not_listen_is_killed(tmp_path: Path) -> None:
    deaf = program(tmp_path, "deaf", LISTENS, "deaf", "deaf", timeout_s=0.2)
    running = supervise(tmp_path, deaf, program(tmp_path, "second", LISTENS, "second"))
    wait_for(tmp_path, "runs deaf", "runs second")
    running.terminate()
    _, errors = running.communicate(timeout=180)
    assert running.returncode == 0
    assert "deaf did not stop within 0.2 s and is killed" in errors
    assert "stops second" in (tmp_path / "said").read_text()
    assert session_members(running.pid) == []


def test_a_log_that_has_grown_is_emptied_while_its_program_goes_on_writing(tmp_path: Path) -> None:
    log = tmp_path / "requests.log"
    with log.open("ab", buffering=0) as program:
        program.write(b"one\n")
        roll(log, 4)
        assert log.read_bytes() == b"one\n", "as large as it may be"
        program.write(b"two\n")
        roll(log, 4)
        program.write(b"three\n")
    assert log.read_bytes() == b"three\n"
    assert (tmp_path / "requests.log.1").read_bytes() == b"one\ntwo\n"
    roll(tmp_path / "nowhere.log", 4)


def test_a_log_that_cannot_be_kept_is_emptied_all_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "requests.log"
    log.write_bytes(b"many lines")
    (tmp_path / "requests.log.1").symlink_to("/dev/full")
    roll(log, 4)
    assert log.read_bytes() == b""
    assert "No space left" in capsys.readouterr().err
