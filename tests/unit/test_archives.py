"""When the launcher builds the default archive, and what it never overwrites."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from export import default_models
from export.archive import write_archive
from scripts import archives
from tests.helpers.fakes import make_card
from weakseg.errors import WeightsUnavailableError
from weakseg.models import classifier

SOURCES = {"sources": "1"}  # stands for the files that an archive is made of


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Replaces export and training by writing a card; lists what was built."""
    made: list[str] = []

    def write(archive: Path, *, demonstration: bool) -> None:
        weights = {"source": "a test", "licence": "none", "sha256": "0", "demonstration": demonstration}
        card = make_card(name=archive.stem, version="demo" if demonstration else "1.0", weights=weights)
        folder = tmp_path / "graphs"
        folder.mkdir(exist_ok=True)
        for name in ("model.onnx", "model.pt"):
            (folder / name).write_bytes(b"graph")
        handler = archives.ROOT / "handlers" / "cam_handler.py"
        write_archive(
            name=card.name, version=card.version, graphs=folder, config=card.to_yaml(), handler=handler,
            directory=archive.parent,
        )  # fmt: skip
        made.append(card.version)

    def build(_: object, directory: Path, __: object) -> None:
        write(directory / f"{archives.DEFAULT_MODEL}.mar", demonstration=False)

    monkeypatch.setattr(default_models, "build_squeezenet_cam", build)
    monkeypatch.setattr(archives, "_build_demo", lambda archive, _: write(archive, demonstration=True))
    monkeypatch.setattr(archives, "fingerprint", lambda sources: f"{SOURCES['sources']}-{len(sources)}")
    monkeypatch.setitem(SOURCES, "sources", "1")
    _set_weights(monkeypatch, available=True)
    return made


def _set_weights(monkeypatch: pytest.MonkeyPatch, *, available: bool) -> None:
    def load(*_: Any) -> object:
        if not available:
            raise WeightsUnavailableError("no network")
        return object()

    monkeypatch.setattr(classifier, "load_classifier", load)


def ensure(store: Path) -> tuple[bool, str]:
    """Whether the model is the demonstration, and what was said."""
    said: list[str] = []
    card = archives.ensure_archive(archives.DEFAULT_MODEL, store, said.append)
    return card.weights.demonstration, "\n".join(said)


def test_built_once_and_again_when_a_source_changes(built: list[str], tmp_path: Path) -> None:
    assert ensure(tmp_path)[0] is False
    assert "up to date" in ensure(tmp_path)[1]
    assert built == ["1.0"]
    SOURCES["sources"] = "2"
    ensure(tmp_path)
    (tmp_path / "squeezenet_cam.mar").unlink()
    ensure(tmp_path)
    assert built == ["1.0", "1.0", "1.0"]


def test_the_demonstration_gives_way_to_the_weights(
    built: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _set_weights(monkeypatch, available=False)
    for _ in range(2):
        demonstration, said = ensure(tmp_path)
        assert demonstration
        assert "DEMONSTRATION MODEL" in said
        assert "no network" in said
    assert built == ["demo"]
    _set_weights(monkeypatch, available=True)
    assert ensure(tmp_path)[0] is False
    assert built == ["demo", "1.0"]


def test_the_real_model_never_gives_way_to_the_demonstration(
    built: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure(tmp_path)
    SOURCES["sources"] = "2"
    _set_weights(monkeypatch, available=False)
    demonstration, said = ensure(tmp_path)
    assert not demonstration
    assert "outdated, but kept" in said
    _set_weights(monkeypatch, available=True)
    ensure(tmp_path)
    assert built == ["1.0", "1.0"]


def test_an_archive_that_somebody_else_made_is_left_alone(built: list[str], tmp_path: Path) -> None:
    ensure(tmp_path)
    archive = tmp_path / "squeezenet_cam.mar"
    archive.write_bytes(archive.read_bytes() + b"\0")
    SOURCES["sources"] = "2"
    assert "not made by this program" in ensure(tmp_path)[1]
    assert built == ["1.0"]
