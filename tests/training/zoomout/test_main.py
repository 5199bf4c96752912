from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from training.zoomout import __main__ as main
from training.zoomout.run import Order


@pytest.fixture
def orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Order]:
    """What is ordered instead of being run; paths are relative to ``tmp_path``."""
    found: list[Order] = []
    weights = SimpleNamespace(weights=SimpleNamespace(sha256="none"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(main, "load_classifier", lambda *_, **__: weights)
    monkeypatch.setattr(main, "run", lambda order, *_: found.append(order))
    return found


def test_the_recorded_command_has_every_choice(tmp_path: Path, orders: list[Order]) -> None:
    command = (
        "--voc data --network demo --checkpoint best.pt --classes names.txt --train-on a --choose-on b --report-on c,d"
        " --photos-per-class 7 --every 2 --out out"
    )
    result = CliRunner().invoke(main.app, ["--voc", str(tmp_path / "data"), *command.split()[2:]])
    assert result.exit_code == 0, result.output
    assert orders[0].command == f"python -m training.zoomout {command}"
    assert (orders[0].train_on, orders[0].choose_on, orders[0].report_on) == ("a", "b", ("c", "d"))
    given = {word for word in command.split() if word.startswith("--")}
    options = {name for option in get_command(main.app).params for name in option.opts}
    assert given == options, "a new option belongs into the recorded command too"


def test_a_recorded_command_repeats_itself(orders: list[Order]) -> None:
    for arguments in ("--voc data --out out", None):
        words = arguments or orders[0].command.removeprefix("python -m training.zoomout ")
        assert CliRunner().invoke(main.app, words.split()).exit_code == 0
    assert orders[0] == orders[1]
    assert "--checkpoint" not in orders[0].command


def test_a_checkpoint_that_cannot_be_read_ends_with_a_message(tmp_path: Path) -> None:
    arguments = ["--voc", str(tmp_path), "--out", str(tmp_path / "out"), "--checkpoint", str(tmp_path / "no.pt")]
    result = CliRunner().invoke(main.app, arguments)
    assert result.exit_code == 2
    assert "no.pt cannot be read" in result.stderr
