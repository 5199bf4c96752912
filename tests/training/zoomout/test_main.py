from pathlib import Path

import pytest
from typer.testing import CliRunner

from training.zoomout import __main__ as main


def test_the_command_that_repeats_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = main._command({"--voc": tmp_path / "data", "--checkpoint": None, "--every": 2})
    assert found == "python -m training.zoomout --voc data --every 2"


def test_a_checkpoint_that_cannot_be_read_ends_with_a_message(tmp_path: Path) -> None:
    arguments = ["--voc", str(tmp_path), "--out", str(tmp_path / "out"), "--checkpoint", str(tmp_path / "no.pt")]
    result = CliRunner().invoke(main.app, arguments)
    assert result.exit_code == 2
    assert "no.pt cannot be read" in result.stderr
