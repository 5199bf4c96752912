"""Archives that are served as they are: --no-build."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scripts import launcher
from scripts.sizing import Plan
from scripts.store import stored_cards, stored_models
from scripts.torchserve import Wanted
from tests.helpers.fakes import make_card
from weakseg.errors import ModelError, WeightsUnavailableError


def put(store: Path, name: str, *, demonstration: bool = False) -> None:
    """An archive with nothing but its card."""
    weights = {"source": "a test", "licence": "none", "sha256": "0", "demonstration": demonstration}
    with zipfile.ZipFile(store / f"{name}.mar", "w") as archive:
        archive.writestr("model-config.yaml", make_card(name=name, weights=weights).to_yaml())


def test_all_archives_of_the_store_in_order(tmp_path: Path) -> None:
    for name in ("weakseg", "pets", "hair"):
        put(tmp_path, name)
    (tmp_path / "notes.txt").write_text("no archive")
    assert stored_models(tmp_path) == ("weakseg", "hair", "pets")
    assert [card.name for card in stored_cards(["pets"], tmp_path, demo=False)] == ["pets"]


def test_an_empty_store_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"No archive \(NAME\.mar\).*--no-build"):
        stored_models(tmp_path)


def test_an_unknown_name_is_answered_with_those_that_are_there(tmp_path: Path) -> None:
    put(tmp_path, "hair")
    with pytest.raises(ModelError, match=r"'weakseg'.*it has: hair"):
        stored_cards(["weakseg"], tmp_path, demo=True)


def test_the_demonstration_model_is_served_unless_it_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "weakseg", demonstration=True)
    assert stored_cards(["weakseg"], tmp_path, demo=True)[0].weights.demonstration
    with pytest.raises(WeightsUnavailableError, match="--no-demo"):
        stored_cards(["weakseg"], tmp_path, demo=False)


def test_the_launcher_serves_what_is_there_and_writes_nothing_into_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Wanted] = []

    def start(wanted: Wanted, _: Plan) -> None:
        started.append(wanted)
        raise launcher.ServiceError("far enough")

    monkeypatch.setattr(launcher.torchserve, "start", start)
    monkeypatch.setattr(launcher.torchserve, "check_ports", lambda port: None)
    store = tmp_path / "store"
    store.mkdir()
    put(store, "hair")  # of a name that the launcher would build anew
    put(store, "pets")
    before = {path: path.read_bytes() for path in store.iterdir()}
    state = ["--store", str(store), "--state", str(tmp_path / "state")]
    done = CliRunner().invoke(launcher.app, ["--no-build", *state])
    assert (done.exit_code, "far enough" in done.output) == (1, True), done.output
    assert [wanted.models for wanted in started] == [("hair", "pets")]
    assert {path: path.read_bytes() for path in store.iterdir()} == before


@pytest.mark.parametrize("other", ["--build-only", "--checkpoint"])
def test_it_goes_with_nothing_that_builds(other: str, tmp_path: Path) -> None:
    checkpoint = tmp_path / "best.pt"
    checkpoint.write_bytes(b"")
    arguments = ["--no-build", other, *([str(checkpoint)] if other == "--checkpoint" else [])]
    done = CliRunner().invoke(launcher.app, arguments)
    assert done.exit_code == 2
    assert "--no-build" in done.output
