"""The container's way: tokens on, in the foreground, until a signal comes. Blocks with a token are run."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import skimage.data

from tests.e2e.test_readme import SAID
from tests.helpers.http import Reply, post, send
from tests.helpers.launcher import ROOT, Launcher, free_ports, session_members
from tests.helpers.photos import cat_photo
from tests.helpers.slow import SLOW, ask_slowly, wait_until_in_flight

BLOCKS = [block for block in SAID if "Authorization" in block]


@dataclass(frozen=True)
class Guarded:
    """A service that asks for tokens, and its launcher."""

    launcher: Launcher
    running: subprocess.Popen[str]
    said: str
    note: dict[str, Any]

    def key(self, kind: str) -> str:
        return str(json.loads((self.launcher.state / "key_file.json").read_text())[kind]["key"])

    def ask(self, token: str | None) -> Reply:
        headers = {} if token is None else {"Authorization": token}
        return post(f"{self.launcher.url}/predictions/tiny_cam", cat_photo(), **headers)


@pytest.fixture(scope="module")
def guarded(tiny_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    (folder / tiny_archive.name).symlink_to(tiny_archive)
    launcher = Launcher(folder, folder / "state", free_ports())
    running = launcher.popen("--models", "tiny_cam", "--config", str(ROOT / "config.container.properties"))
    assert running.stdout is not None
    said = []
    for line in running.stdout:
        said.append(line)
        if "Ctrl-C" in line:
            break
    else:
        pytest.fail("".join(said))
    yield Guarded(launcher, running, "".join(said), json.loads((launcher.state / "instance.json").read_text()))
    if running.poll() is None:  # a test failed before the last one
        running.terminate()
        running.wait(timeout=120)


def test_the_start_shows_where_the_keys_are(guarded: Guarded) -> None:
    assert "key_file.json" in guarded.said
    assert "Authorization: Bearer INFERENCE_KEY" in guarded.said
    file = guarded.launcher.state / "key_file.json"
    assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, "others may read the keys"
    ends = datetime.fromisoformat(json.loads(file.read_text())["inference"]["expiration time"])
    assert ends > datetime.now(UTC) + timedelta(days=300)
    assert len(session_members(guarded.note["session"])) >= 5  # supervisor, front, TorchServe's script, Java, a worker


def test_who_is_refused_and_who_is_not(guarded: Guarded) -> None:
    refused = {
        "none": guarded.ask(None),
        "nonsense": guarded.ask("Bearer of-bad-news"),
        "another scheme": guarded.ask(f"Basic {guarded.key('inference')}"),
        "another kind": guarded.ask(f"Bearer {guarded.key('management')}"),
    }
    assert {what: (reply.status, reply.json["error"]["code"]) for what, reply in refused.items()} == {
        "none": (401, "token_missing"),
        "nonsense": (401, "token_invalid"),
        "another scheme": (401, "token_missing"),
        "another kind": (403, "token_wrong_kind"),
    }
    assert guarded.ask(f"Bearer {guarded.key('inference')}").status == 200
    assert send("GET", f"{guarded.launcher.url}/health").status == 200, "health needs no token"

    models = f"{guarded.launcher.management_url}/models"
    assert send("GET", models).status >= 400
    assert send("GET", models, headers={"Authorization": f"Bearer {guarded.key('inference')}"}).status >= 400
    management = {"Authorization": f"Bearer {guarded.key('management')}"}
    assert send("GET", models, headers=management).status == 200
    assert send("POST", f"{models}?url=tiny_cam.mar&model_name=b", headers=management).status >= 400


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_with_a_token(guarded: Guarded, tmp_path: Path, block: str) -> None:
    before = guarded.key("inference")
    script = re.sub(r"\b808([0-6])\b", lambda port: str(guarded.launcher.port + int(port[1])), block)
    (tmp_path / ".weakseg").symlink_to(guarded.launcher.state)
    assert (guarded.launcher.state / "chelsea.png").read_bytes() == (
        Path(skimage.data.__file__).parent / "chelsea.png"
    ).read_bytes()
    (tmp_path / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\n", encoding="utf-8")
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script.replace("predictions/weakseg", "predictions/tiny_cam")],
        cwd=tmp_path,
        env=os.environ | {"CURL_HOME": str(tmp_path)},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done
    if "/token" in block:
        assert guarded.key("inference") != before
        assert guarded.ask(f"Bearer {before}").json["error"]["code"] == "token_invalid"


def test_there_is_such_a_block() -> None:
    assert any("/token" in block for block in BLOCKS)


def test_a_signal_ends_it_once_what_is_under_way_is_answered(guarded: Guarded) -> None:
    token = f"Bearer {guarded.key('inference')}"
    with ThreadPoolExecutor(SLOW) as pool:
        under_way = [pool.submit(ask_slowly, guarded.launcher, "tiny_cam", Authorization=token) for _ in range(SLOW)]
        wait_until_in_flight(guarded.launcher, SLOW)
        guarded.running.send_signal(signal.SIGTERM)
        assert not any(asked.done() for asked in under_way), "they were too quick for this test"
        replies = [asked.result() for asked in under_way]
    rest, _ = guarded.running.communicate(timeout=120)
    assert [reply.status for reply in replies] == [200] * SLOW, [reply.body[:200] for reply in replies]
    assert guarded.running.returncode == 0, rest
    assert session_members(guarded.note["session"]) == []
    assert not Path(guarded.note["temp"]).exists()
    assert not (guarded.launcher.state / "instance.json").exists()
    assert not (guarded.launcher.state / "key_file.json").exists()
