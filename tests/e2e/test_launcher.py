"""./scripts/serve from start to stop."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from tests.e2e.conftest import MODELS, Service
from tests.helpers.archives import changed, without_a_module
from tests.helpers.http import send
from tests.helpers.launcher import Launcher, free_ports, session_members
from tests.helpers.slow import SLOW, ask_slowly, wait_until_in_flight

CURL = "  curl "


def curl_line(said: str) -> str:
    return next(line.strip() for line in said.splitlines() if line.startswith(CURL))


def test_the_printed_curl_line_works_as_it_stands(service: Service, tmp_path: Path) -> None:
    subprocess.run(["bash", "-ec", curl_line(service.said)], cwd=tmp_path, check=True, capture_output=True)
    cutout = Image.open(tmp_path / "cutout.png")
    assert cutout.mode == "RGBA"
    assert cutout.getextrema()[3] == (0, 255), "nothing or everything was cut out"


def test_a_second_start_finds_the_first(service: Service) -> None:
    again = service.launcher.run("--detach", "--models", MODELS)
    assert again.returncode == 0, again.stdout
    assert "runs already" in again.stdout
    assert curl_line(again.stdout) == curl_line(service.said)
    assert json.loads((service.launcher.state / "instance.json").read_text())["session"] == service.session


def test_a_second_start_that_wants_something_else_is_told_so(service: Service) -> None:
    other = service.launcher.run("--detach", "--models", "tiny_cam")
    assert other.returncode == 1
    assert "--stop" in other.stdout


def test_a_port_in_use_is_named_before_anything_is_built(tmp_path: Path) -> None:
    port = free_ports()
    with socket.socket() as other:
        other.bind(("127.0.0.1", port + 1))
        other.listen()
        done = Launcher(tmp_path / "store", tmp_path / "state", port).run("--detach")
    assert done.returncode == 1
    assert f"Port {port + 1} on 127.0.0.1 is in use" in done.stdout
    assert "--port" in done.stdout
    assert not (tmp_path / "store").exists()


def test_an_unknown_model_is_answered_with_the_known_ones(tiny_archive: Path, tmp_path: Path) -> None:
    shutil.copy(tiny_archive, tmp_path)
    done = Launcher(tmp_path, tmp_path / "state", free_ports()).run("--detach", "--models", "resnet_cam")
    assert done.returncode == 1
    assert "'resnet_cam'" in done.stdout
    assert "tiny_cam" in done.stdout


def test_a_reader_that_goes_away_and_requests_under_way_at_the_stop(tiny_archive: Path, tmp_path: Path) -> None:
    shutil.copy(tiny_archive, tmp_path)
    launcher = Launcher(tmp_path, tmp_path / "state", free_ports())
    started = launcher.popen("--detach", "--models", "tiny_cam")
    assert started.stdout is not None
    assert started.stdout.readline()
    started.stdout.close()  # as `| head -1` does
    assert started.wait(timeout=300) == 0
    session = json.loads((launcher.state / "instance.json").read_text())["session"]
    assert send("GET", f"{launcher.url}/ping").json == {"status": "Healthy"}

    with ThreadPoolExecutor(SLOW) as pool:
        under_way = [pool.submit(ask_slowly, launcher, "tiny_cam") for _ in range(SLOW)]
        wait_until_in_flight(launcher, SLOW)
        stopped = launcher.run("--stop")
        assert stopped.returncode == 0, stopped.stdout
        replies = [asked.result() for asked in under_way]
    assert [reply.status for reply in replies] == [200] * SLOW, [reply.body[:200] for reply in replies]
    assert session_members(session) == []
    assert not (launcher.state / "instance.json").exists()


def test_stop_without_a_service_is_no_error(tmp_path: Path) -> None:
    done = Launcher(tmp_path, tmp_path / "state", 1).run("--stop")
    assert (done.returncode, "does not run" in done.stdout) == (0, True)


def test_a_model_that_cannot_be_loaded_ends_the_start_with_its_cause(tiny_archive: Path, tmp_path: Path) -> None:
    changed(tiny_archive, tmp_path / tiny_archive.name, without_a_module)
    done = Launcher(tmp_path, tmp_path / "state", free_ports()).run("--detach", "--models", "tiny_cam")
    assert done.returncode == 1
    assert "No module named 'a_module_that_nobody_has'" in done.stdout
    assert "model_log.log" in done.stdout
    assert not (tmp_path / "state" / "instance.json").exists()
