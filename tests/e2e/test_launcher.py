"""./scripts/serve from start to stop."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from PIL import Image

from tests.e2e.conftest import MODELS, Service
from tests.helpers.http import post, send
from tests.helpers.launcher import ROOT, Launcher, free_ports, session_members
from tests.helpers.photos import cat_photo

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


def test_stop_without_a_service_is_no_error(tmp_path: Path) -> None:
    done = Launcher(tmp_path, tmp_path / "state", 1).run("--stop")
    assert (done.returncode, "does not run" in done.stdout) == (0, True)


def test_the_containers_way_keys_in_the_foreground_until_a_signal_comes(tiny_archive: Path, tmp_path: Path) -> None:
    shutil.copy(tiny_archive, tmp_path)
    launcher = Launcher(tmp_path, tmp_path / "state", free_ports())
    running = launcher.popen("--models", "tiny_cam", "--config", str(ROOT / "config.container.properties"))
    assert running.stdout is not None
    said = []
    for line in running.stdout:
        said.append(line)
        if "Ctrl-C" in line:
            break
    else:
        pytest.fail("".join(said))
    instance = json.loads((launcher.state / "instance.json").read_text())
    assert len(session_members(instance["session"])) >= 5  # supervisor, front, TorchServe's script, its Java, a worker

    assert "Authorization: Bearer" in curl_line("".join(said))
    url = f"{launcher.url}/predictions/tiny_cam"
    keys = json.loads((launcher.state / "key_file.json").read_text())
    assert datetime.fromisoformat(keys["inference"]["expiration time"]) > datetime.now(UTC) + timedelta(days=300)
    assert post(url, cat_photo()).json["error"]["code"] == "token_missing"
    assert post(url, cat_photo(), Authorization=f"Bearer {keys['inference']['key']}").status == 200
    management_key = {"Authorization": f"Bearer {keys['management']['key']}"}
    refused = send("POST", f"{launcher.management_url}/models?url=tiny_cam.mar&model_name=b", headers=management_key)
    assert refused.status >= 400

    running.send_signal(signal.SIGTERM)
    rest, _ = running.communicate(timeout=60)
    assert running.returncode == 0, rest
    assert session_members(instance["session"]) == []
    assert not Path(instance["temp"]).exists()
    assert not (launcher.state / "instance.json").exists()
    assert not (launcher.state / "key_file.json").exists()


def test_a_model_that_cannot_be_loaded_ends_the_start_with_its_cause(tiny_archive: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tiny_archive) as built:
        files = {name: built.read(name) for name in built.namelist()}
    handler = "cam_handler.py"
    files[handler] = b"import a_module_that_nobody_has\n" + files[handler].replace(
        b"from __future__ import annotations", b""
    )
    with zipfile.ZipFile(tmp_path / tiny_archive.name, "w") as broken:
        for name, content in files.items():
            broken.writestr(name, content)
    done = Launcher(tmp_path, tmp_path / "state", free_ports()).run("--detach", "--models", "tiny_cam", timeout_s=120)
    assert done.returncode == 1
    assert "No module named 'a_module_that_nobody_has'" in done.stdout
    assert "model_log.log" in done.stdout
    assert not (tmp_path / "state" / "instance.json").exists()
