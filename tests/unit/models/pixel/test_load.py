"""Checkpoints of pixel networks, and what is said about those that are none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from tests.helpers.pixel_checkpoints import StridedNet, know_strided, write_checkpoint
from weakseg.errors import ModelError, UnsupportedNetworkError
from weakseg.models.checkpoint import read_metadata
from weakseg.models.classifier import build_network, load_classifier
from weakseg.models.pixel import bundled
from weakseg.models.pixel.load import is_pixel_checkpoint, load_pixel_model


@pytest.fixture(autouse=True)
def _strided(monkeypatch: pytest.MonkeyPatch) -> None:
    know_strided(monkeypatch)


def test_a_checkpoint_brings_all_that_belongs_to_its_weights(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "best.pt")
    loaded = load_pixel_model(path)
    assert is_pixel_checkpoint(path)
    assert (loaded.network, dict(loaded.network_options), loaded.classes) == ("strided", {"width": 6}, ("shoe", "sock"))
    assert (loaded.normalisation.hw, loaded.normalisation.mean, loaded.max_side) == ((33, 50), (0.4, 0.5, 0.6), 64)
    assert loaded.weights.source == "checkpoint best.pt"
    assert len(loaded.weights.sha256) == 64
    assert not loaded.model.training
    written = torch.load(path)["state_dict"]
    assert all(torch.equal(value, written[name]) for name, value in loaded.model.state_dict().items())


def test_what_is_given_beside_it_wins(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("boot\nstocking\n", encoding="utf-8")
    path = write_checkpoint(
        tmp_path / "best.pt", max_side=None, network_options=None, state_dict=StridedNet(3).state_dict()
    )
    given = {"classes": tmp_path / "names.txt", "mean": (0.1, 0.2, 0.3), "licence": "MIT"}
    loaded = load_pixel_model(path, **given)  # type: ignore[arg-type]
    assert (loaded.classes, loaded.normalisation.mean, loaded.weights.licence) == (
        ("boot", "stocking"),
        (0.1, 0.2, 0.3),
        "MIT",
    )
    assert loaded.normalisation.std == (0.2, 0.25, 0.3)
    assert loaded.max_side == 50, "the long side that it was trained at"


def test_photos_are_served_no_larger_than_a_request_may_ask_for(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "best.pt", max_side=None, hw=(1200, 1500))
    assert load_pixel_model(path).max_side == 1024


def test_other_numbers_of_names_are_refused(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("background\nboot\nstocking\n", encoding="utf-8")
    with pytest.raises(
        ModelError, match=r"has 3 class names; strided .* has 2 classes beside the background: shoe, sock"
    ):
        load_pixel_model(write_checkpoint(tmp_path / "best.pt"), classes=tmp_path / "names.txt")


def test_classifiers_and_pixel_networks_are_told_apart(tmp_path: Path) -> None:
    classifier = write_checkpoint(tmp_path / "c.pt", network="demo", pixels=None, max_side=None)
    assert not is_pixel_checkpoint(classifier)
    with pytest.raises(ModelError, match=r"c\.pt is a checkpoint of demo, and does not say that it labels pixels"):
        load_pixel_model(classifier)
    with pytest.raises(ModelError, match="holds a network that labels pixels, strided, and not a classifier"):
        load_classifier(None, write_checkpoint(tmp_path / "p.pt"))
    torch.save(build_network("demo", 2).state_dict(), tmp_path / "bare.pt")
    assert not is_pixel_checkpoint(tmp_path / "bare.pt")
    with pytest.raises(ModelError, match=r"bare\.pt is a bare state dict"):
        load_pixel_model(tmp_path / "bare.pt")


def test_classifiers_need_none_of_the_new_fields(tmp_path: Path) -> None:
    said = read_metadata(write_checkpoint(tmp_path / "c.pt", pixels=None, network_options=None, max_side=None))
    assert said is not None
    assert (said.pixels, dict(said.network_options), said.max_side) == (False, {}, None)


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    state = StridedNet(3, width=6).state_dict()
    wrong = {
        r"'score\.weight' is \(4, 6, 3, 3\), not \(3, 6, 3, 3\)": StridedNet(4, width=6).state_dict(),
        r"it has 'more', which the network has not": {**state, "more": torch.zeros(1)},
        r"'score\.bias' is missing": {name: value for name, value in state.items() if name != "score.bias"},
    }
    for message, each in wrong.items():
        path = write_checkpoint(tmp_path / "best.pt", state_dict=each)
        with pytest.raises(ModelError, match=f"does not fit strided with options .*width.*: {message}"):
            load_pixel_model(path)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 truncated", b"<html>404</html>"])
def test_damaged_files_are_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "best.pt").write_bytes(data)
    with pytest.raises(ModelError, match=r"best\.pt cannot be read as a state dict"):
        load_pixel_model(tmp_path / "best.pt")


def test_a_checkpoint_that_lacks_a_field_says_which(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="names its network, 'strided', but not its 'mean'"):
        load_pixel_model(write_checkpoint(tmp_path / "best.pt", mean=None))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("hw", 33),
        ("hw", [33]),
        ("hw", [0, 50]),
        ("max_side", -5),
        ("max_side", "large"),
        ("mean", [0.4, 0.5]),
        ("mean", [float("nan"), 0.5, 0.5]),
        ("std", [0.2, 0.0, 0.3]),
        ("classes", ["shoe", ""]),
        ("classes", []),
        ("network_options", ["width"]),
        ("pixels", "perhaps"),
    ],
)
def test_values_that_make_no_sense_are_named(tmp_path: Path, field: str, value: object) -> None:
    path = write_checkpoint(tmp_path / "best.pt", **{field: value})  # type: ignore[arg-type]
    for read in (load_pixel_model, is_pixel_checkpoint):
        with pytest.raises(ModelError, match=rf"best\.pt: {field} = {re.escape(repr(value))}: .*python -m training"):
            read(path)


def test_unknown_networks_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with pytest.raises(UnsupportedNetworkError, match="strided"):
        load_pixel_model(write_checkpoint(tmp_path / "best.pt"))


def test_bundled_models_go_by_the_names_of_their_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled, "WEIGHTS", tmp_path)
    assert bundled.bundled_checkpoints() == {}
    (tmp_path / "hair.md").write_text("# hair")
    paths = {name: write_checkpoint(tmp_path / f"{name}.pt") for name in ("skin", "hair")}
    assert list(bundled.bundled_checkpoints().items()) == [("hair", paths["hair"]), ("skin", paths["skin"])]


@pytest.mark.parametrize("path", bundled.bundled_checkpoints().values(), ids=lambda path: path.stem)
def test_what_the_package_brings_is_small_and_has_a_model_card(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert load_pixel_model(path).classes
    assert path.stat().st_size < 8e6
    assert len(path.with_suffix(".md").read_text(encoding="utf-8").splitlines()) > 10
