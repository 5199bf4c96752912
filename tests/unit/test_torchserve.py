"""The launcher's parts that need no server."""

from __future__ import annotations

import itertools
import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scripts import archives
from scripts.configuration import derive, read_properties
from scripts.instance import PORTS, Instance, find, note
from scripts.launcher import app
from scripts.service_logs import find_cause
from scripts.usage import show_usage
from tests.helpers.fakes import make_card
from weakseg.errors import WeightsUnavailableError

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "2026-01-01T10:00:00,000 [INFO ] W-9000-m_1.0-stdout MODEL_LOG - "
DIED = ["Torch worker started.", "Backend worker process died.", "Traceback (most recent call last):"]


def log(*lines: str) -> str:
    return "\n".join(PREFIX + line for line in lines)


def test_the_cause_is_the_last_exception_of_the_chain() -> None:
    lines = ["KeyError: 'weakseg'", "During handling of the above exception, another exception occurred:"]
    text = log(*DIED, '  File "cam_handler.py", line 3', *lines, "weakseg.errors.ModelCardError: it has no card.")
    assert find_cause(text) == "weakseg.errors.ModelCardError: it has no card."


def test_the_cause_of_a_failed_import_is_not_torchserves_fallback() -> None:
    fallback = "ModuleNotFoundError: No module named 'ts.torch_handler.cam_handler'"
    assert (
        find_cause(log(*DIED, "ImportError: libGL.so.1 is missing", fallback)) == "ImportError: libGL.so.1 is missing"
    )
    assert find_cause(log(*DIED, fallback)) == fallback
    assert find_cause(log(*DIED)) == "see the log"


def test_the_cause_of_one_model_among_others() -> None:
    def lines(model: str, *said: str) -> str:
        return log(*said).replace("W-9000-m_1.0", f"W-9000-{model}_1.0")

    both = lines("a", *DIED, "ValueError: of a") + "\n" + lines("a_b", *DIED, "lib.state.InvalidProtobuf: of a_b")
    assert find_cause(both, "a_b") == "lib.state.InvalidProtobuf: of a_b", "named by a dotted path, if by nothing else"
    assert find_cause(both, "c") is None
    assert find_cause(lines("a", *DIED, "ValueError: of a"), "a") == "ValueError: of a"


def test_no_cause_while_no_worker_died() -> None:
    assert find_cause(log("Torch worker started.", "ValueError: a request that went wrong")) is None
    assert find_cause("") is None


def test_ports_that_a_configuration_does_not_name_are_named_all_the_same() -> None:
    derived = read_properties(
        derive("inference_address=http://127.0.0.1:8085  \nmanagement_address=http://[::1]:1\n", 9000, {})
    )
    assert {name: address.rpartition(":")[2] for name, address in derived.items()} == {
        name: str(9000 + offset) for name, offset in PORTS.items()
    }
    assert derived["management_address"] == "http://[::1]:9001"
    assert (derived["weakseg_address"], derived["grpc_inference_port"]) == ("http://127.0.0.1:9000", "9003")


def test_seven_ports_in_a_row_and_nothing_else_changes() -> None:
    template = (ROOT / "config.properties").read_text()
    changed = derive(template, 9000, {})
    differing = [line for line, old in zip(changed.splitlines(), template.splitlines(), strict=True) if line != old]
    assert differing == [
        "weakseg_address=http://127.0.0.1:9000",
        "management_address=http://127.0.0.1:9001",
        "weakseg_metrics_address=http://127.0.0.1:9002",
        "grpc_inference_port=9003",
        "grpc_management_port=9004",
        "inference_address=http://127.0.0.1:9005",
        "metrics_address=http://127.0.0.1:9006",
    ]
    assert derive(template, 8080, {}) == template
    assert sorted(PORTS.values()) == list(range(len(PORTS)))


def test_settings_of_the_launcher_replace_those_of_the_file() -> None:
    template = "# why\nvmargs=-Xmx1g\nmodel_store = here\n"
    changed = derive(template, 8080, {"model_store": "/there", "models": '{"m": {"1.0": {}}}'})
    read = {name: value for name, value in read_properties(changed).items() if name not in PORTS}
    assert read == {"vmargs": "-Xmx1g", "model_store": "/there", "models": '{"m": {"1.0": {}}}'}
    assert "# why" in changed


@pytest.mark.parametrize("name", ["config.properties", "config.container.properties"])
def test_every_setting_stands_once_below_its_explanation(name: str) -> None:
    lines = (ROOT / name).read_text().splitlines()
    settings = [line.partition("=")[0] for line in lines if line and not line.startswith("#")]
    assert len(settings) == len(set(settings))
    for before, line in itertools.pairwise(lines):
        assert line.startswith("#") or before, f"{line!r} has no comment above"


def test_a_note_of_an_instance_whose_processes_are_gone(tmp_path: Path) -> None:
    gone = Instance(os.getsid(0), 8080, ("m",), tmp_path, tmp_path, tmp_path / "weakseg-gone")
    assert gone.processes() == [], "the session id lives on, but it is another program's"
    (tmp_path / "instance.json").write_text(json.dumps(asdict(gone), default=str))
    assert find(tmp_path) is None
    assert find(tmp_path / "empty") is None


@pytest.mark.parametrize("note", ["", '{"session": 1, "por'])
def test_a_note_that_cannot_be_read_is_none(tmp_path: Path, note: str) -> None:
    (tmp_path / "instance.json").write_text(note)
    assert find(tmp_path) is None
    stopped = CliRunner().invoke(app, ["--stop", "--state", str(tmp_path)])
    assert (stopped.exit_code, "does not run" in stopped.output) == (0, True)
    assert str(tmp_path) in stopped.output.replace("\n", "")


def test_a_note_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_half(path: Path, text: str, **_: object) -> int:
        with path.open("w") as file:
            file.write(text[: len(text) // 2])
        raise OSError("the disk is full")

    path = tmp_path / "instance.json"
    instance = Instance(1, 8080, ("m",), tmp_path, tmp_path, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", write_half)
        with pytest.raises(OSError, match="full"):
            note(instance)
    assert not path.exists()
    note(instance)
    assert json.loads(path.read_text())["port"] == 8080


@pytest.mark.parametrize(
    ("option", "value"),
    [("--port", "65530"), ("--port", "70000"), ("--port", "0"), ("--config", "nowhere"), ("--store", __file__)],
)
def test_options_that_cannot_be_are_refused_by_name(tmp_path: Path, option: str, value: str) -> None:
    # --build-only of a model that is not there: whatever gets through ends with 1, and nothing starts.
    asked = ["--build-only", "--models", "none", "--state", str(tmp_path), option, value]
    result = CliRunner().invoke(app, asked, env={"TERM": "dumb", "COLUMNS": "200"})
    assert result.exit_code == 2, result.output
    assert f"'{option}'" in result.output


def test_the_last_port_there_is_can_be_used(tmp_path: Path) -> None:
    asked = ["--build-only", "--models", "none", "--store", str(tmp_path), "--port", "65529"]
    assert CliRunner().invoke(app, asked).exit_code == 1  # no such model


def test_the_fingerprint_changes_with_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "ROOT", tmp_path)
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "a.py").write_text("1")
    before = archives.fingerprint(["export"])
    (tmp_path / "export" / "__pycache__").mkdir()
    (tmp_path / "export" / "__pycache__" / "a.pyc").write_text("compiled")
    assert archives.fingerprint(["export"]) == before
    (tmp_path / "export" / "a.py").write_text("2")
    assert archives.fingerprint(["export"]) != before


def test_the_sources_of_the_default_archive_exist() -> None:
    for sources in (archives._SOURCES, archives._DEMO_SOURCES):
        assert [source for source in sources if not (ROOT / source).exists()] == []


@pytest.mark.parametrize("keys", [True, False])
def test_all_curl_lines_carry_a_key_where_one_is_needed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], keys: bool
) -> None:
    instance = Instance(1, 8080, ("tiny",), tmp_path, tmp_path, tmp_path)
    instance.config.write_text("weakseg_token_file=\n")
    if keys:
        instance.key_file.write_text("{}")
    weights = {"source": "a", "licence": "b", "sha256": "0"}
    show_usage(instance, [make_card(name=name, weights=weights) for name in ("tiny", "hair")])
    said = capsys.readouterr().out
    curls = [line.split() for line in said.splitlines() if line.startswith("  curl -T ")]
    assert [(Path(words[2]).name, *words[-2:]) for words in curls] == [
        ("chelsea.png", "cutout.png", "http://127.0.0.1:8080/predictions/tiny"),
        ("astronaut.png", "hair.png", "http://127.0.0.1:8080/predictions/hair"),
    ]
    assert all(Path(words[2]).is_file() for words in curls)
    assert ("curl -H 'Authorization: Bearer MANAGEMENT_KEY' 'http://127.0.0.1:8081/models/tiny" in said) == keys
    assert said.count("-H 'Authorization: Bearer INFERENCE_KEY'") == (2 if keys else 0)
    assert ("About the model: curl 'http://127.0.0.1:8081" in said) != keys


def test_no_demo_reaches_the_builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, demo: bool) -> None:
        raise WeightsUnavailableError(f"demo={demo}")

    monkeypatch.setattr(archives, "ensure_archive", refuse)
    for flags, said in (([], "demo=True"), (["--no-demo"], "demo=False")):
        result = CliRunner().invoke(app, ["--build-only", "--state", str(tmp_path), *flags])
        assert result.exit_code == 1
        assert said in result.output
