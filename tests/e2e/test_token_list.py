"""The container's configuration with a list of tokens, as deploy/ starts it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from typer.testing import CliRunner

from scripts import tokens
from scripts.torchserve import PORTS
from tests.helpers.grpc_protocol import Protocol
from tests.helpers.http import Reply, post, send
from tests.helpers.launcher import ROOT, Launcher, free_ports
from tests.helpers.logs import line_of, requests_log
from tests.helpers.photos import cat_photo

CONFIG = ["--config", str(ROOT / "config.container.properties")]


def add(file: Path, name: str) -> str:
    return CliRunner().invoke(tokens.app, ["add", name, "--file", str(file)]).output.strip()


@pytest.fixture(scope="module")
def listed(tiny_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Launcher, Path, str]]:
    """A service, its list, and the token of alice on it."""
    folder = tmp_path_factory.mktemp("tokens")
    file = folder / "list"
    token = add(file, "alice")
    store = folder / "store"
    store.mkdir()
    shutil.copy(tiny_archive, store)
    store.chmod(0o555)  # nothing is built, so nothing is written
    launcher = Launcher(store, folder / "state", free_ports(), {"WEAKSEG_TOKEN_FILE": str(file)})
    started = launcher.run("--detach", "--no-build", *CONFIG)
    assert started.returncode == 0, started.stdout
    assert "tiny_cam is ready" in started.stdout
    assert f"needs a token of {file}" in started.stdout
    assert "Bearer TOKEN" in started.stdout
    yield launcher, file, token
    assert launcher.run("--stop").returncode == 0


def ask(launcher: Launcher, token: str | None) -> Reply:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return post(f"{launcher.url}/predictions/tiny_cam", cat_photo(), **headers)


def test_tokens_of_the_list_and_no_others(listed: tuple[Launcher, Path, str]) -> None:
    launcher, _, token = listed
    assert ask(launcher, token).status == 200
    missing, wrong = ask(launcher, None), ask(launcher, "guessed")
    assert (missing.status, missing.json["error"]["code"]) == (401, "token_missing")
    assert (wrong.status, wrong.json["error"]["code"]) == (401, "token_invalid")
    keys = json.loads((launcher.state / "key_file.json").read_text())
    for kind in ("inference", "management"):
        assert ask(launcher, keys[kind]["key"]).status == 401
    inner = f"http://127.0.0.1:{launcher.port + 5}/predictions/tiny_cam"
    assert (
        send("POST", inner, cat_photo(), {"Authorization": f"Bearer {token}"}).status >= 400
    )  # TorchServe's own check
    assert send("GET", f"{launcher.url}/health").status == 200


def test_the_list_changes_while_the_service_runs(listed: tuple[Launcher, Path, str]) -> None:
    launcher, file, alice = listed
    bob = add(file, "bob")
    assert ask(launcher, bob).status == 200
    file.write_text("".join(line for line in file.read_text().splitlines(keepends=True) if not line.startswith("bob ")))
    assert ask(launcher, bob).status == 401
    assert ask(launcher, alice).status == 200


def test_the_log_says_whose_token_it_was_and_not_the_token(listed: tuple[Launcher, Path, str]) -> None:
    launcher, _, token = listed
    reply = send(
        "POST", f"{launcher.url}/predictions/tiny_cam", cat_photo(),
        {"Authorization": f"Bearer {token}", "X-Request-Id": "whose"},
    )  # fmt: skip
    assert reply.status == 200
    line = line_of(launcher, "whose")
    assert line["caller"] == "alice"
    assert token not in requests_log(launcher)


def test_a_list_that_cannot_be_read_ends_the_start_with_its_cause(tiny_archive: Path, tmp_path: Path) -> None:
    shutil.copy(tiny_archive, tmp_path)
    launcher = Launcher(tmp_path, tmp_path / "state", free_ports(), {"WEAKSEG_TOKEN_FILE": str(tmp_path / "list")})
    done = launcher.run("--detach", "--no-build", *CONFIG)
    assert done.returncode == 1
    assert f"{tmp_path / 'list'} cannot be read" in done.stdout
    assert "scripts.tokens add" in done.stdout


def test_grpc_wants_torchserves_own_key(listed: tuple[Launcher, Path, str], protocol: Protocol) -> None:
    launcher, _, token = listed
    keys = json.loads((launcher.state / "key_file.json").read_text())
    with grpc.insecure_channel(f"127.0.0.1:{launcher.port + PORTS['grpc_inference_port']}") as channel:
        stub = protocol.inference_calls.InferenceAPIsServiceStub(channel)

        def predict(*metadata: tuple[str, str]) -> grpc.StatusCode:
            request = protocol.inference.PredictionsRequest(model_name="tiny_cam", input={"image": cat_photo()})
            reply, call = stub.Predictions.with_call(request, metadata=metadata, timeout=120)
            assert reply.prediction.startswith(b"\x89PNG")
            return call.code()

        assert predict(("authorization", f"Bearer {keys['inference']['key']}")) is grpc.StatusCode.OK
        for refused in (keys["management"]["key"], token, "guessed"):
            with pytest.raises(grpc.RpcError) as caught:
                predict(("authorization", f"Bearer {refused}"))
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
        with pytest.raises(grpc.RpcError) as caught:
            predict()
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
