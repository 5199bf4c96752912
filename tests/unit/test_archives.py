"""When the launcher builds the default archive, and what it never overwrites."""

from __future__ import annotations

import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from typer.testing import CliRunner

from export import build, default_models
from export.archive import write_archive
from scripts import archives, launcher, torchserve
from scripts.configuration import derive
from scripts.launcher import app
from tests.helpers.fakes import make_card
from tests.helpers.pixel_checkpoints import know_strided, write_checkpoint
from weakseg.errors import ModelError, WeightsUnavailableError
from weakseg.models import classifier
from weakseg.models.classifier import build_network
from weakseg.models.pixel import bundled

SOURCES = {"sources": "1"}  # stands for the files that an archive is made of
DOUBT = {"doubt": ""}  # of the fake weights


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Replaces export and training by writing a card; lists what was built."""
    made: list[str] = []

    def write(archive: Path, *, demonstration: bool, made_of: str) -> None:
        weights = {"source": "a test", "licence": "none", "sha256": "0", "demonstration": demonstration}
        version = "demo" if demonstration else "1.0"
        card = make_card(name=archive.stem, version=version, weights=weights, made_of=made_of)
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

    def build(_: object, directory: Path, __: object, *, made_of: str) -> None:
        write(directory / f"{archives.DEFAULT_MODEL}.mar", demonstration=False, made_of=made_of)

    def build_demo(archive: Path, _: object) -> None:
        write(archive, demonstration=True, made_of=archives.fingerprint(archives._DEMO_SOURCES))

    monkeypatch.setattr(default_models, "build_default_model", build)
    monkeypatch.setattr(archives, "_build_demo", build_demo)
    monkeypatch.setattr(archives, "fingerprint", lambda sources: f"{SOURCES['sources']}-{len(sources)}")
    monkeypatch.setitem(SOURCES, "sources", "1")
    _set_weights(monkeypatch, available=True)
    return made


def _set_weights(monkeypatch: pytest.MonkeyPatch, *, available: bool) -> None:
    def load(*_: Any) -> object:
        if not available:
            raise WeightsUnavailableError("no network")
        return SimpleNamespace(doubt=DOUBT["doubt"])

    monkeypatch.setattr(classifier, "load_classifier", load)


def ensure(store: Path, *, demo: bool = True) -> tuple[bool, str]:
    """Whether the model is the demonstration, and what was said."""
    said: list[str] = []
    card = archives.ensure_archive(archives.DEFAULT_MODEL, store, said.append, demo=demo)
    return card.weights.demonstration, "\n".join(said)


def test_built_once_and_again_when_a_source_changes(built: list[str], tmp_path: Path) -> None:
    assert ensure(tmp_path)[0] is False
    assert "up to date" in ensure(tmp_path)[1]
    assert built == ["1.0"]
    SOURCES["sources"] = "2"
    ensure(tmp_path)
    (tmp_path / "weakseg.mar").unlink()
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


def change_card(archive: Path, **changes: object) -> None:
    """Rewrite an archive with other fields in its card; None leaves a field out."""
    with zipfile.ZipFile(archive) as old:
        files = {name: old.read(name) for name in old.namelist()}
    config = yaml.safe_load(files["model-config.yaml"])
    fields = config["weakseg"] | changes
    config["weakseg"] = {name: value for name, value in fields.items() if value is not None}
    with zipfile.ZipFile(archive, "w") as new:
        for name, content in (files | {"model-config.yaml": yaml.safe_dump(config).encode()}).items():
            new.writestr(name, content)


def test_an_archive_that_somebody_else_made_is_left_alone(built: list[str], tmp_path: Path) -> None:
    ensure(tmp_path)
    change_card(tmp_path / "weakseg.mar", made_of=None)
    SOURCES["sources"] = "2"
    assert "not made by this program" in ensure(tmp_path)[1]
    assert built == ["1.0"]


def test_an_archive_whose_card_another_weakseg_wrote_is_made_anew(built: list[str], tmp_path: Path) -> None:
    ensure(tmp_path)
    change_card(tmp_path / "weakseg.mar", made_of="another", a_field_of_those_days=1)
    ensure(tmp_path)
    assert built == ["1.0", "1.0"]


def test_a_start_that_is_killed_once_the_archive_is_there_leaves_nothing_undone(
    built: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _set_weights(monkeypatch, available=False)
    ensure(tmp_path)
    for path in tmp_path.iterdir():
        if path.is_file() and path.suffix != ".mar":
            path.unlink()  # whatever would be written after the archive
    _set_weights(monkeypatch, available=True)
    assert ensure(tmp_path)[0] is False
    assert built == ["demo", "1.0"]


def test_the_default_models_archive_says_what_it_is_made_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fields: dict[str, Any] = {}
    monkeypatch.setattr(default_models, "build_archive", lambda *_, card_fields, **__: fields.update(card_fields))
    _set_weights(monkeypatch, available=True)
    archives._build(tmp_path / "weakseg.mar", lambda _: None, made_of=None)
    assert fields["made_of"] == archives.fingerprint(archives._SOURCES)


@pytest.mark.parametrize("name", ["{store}/mine", "{store}/mine.mar", "mine.mar", "../{folder}/mine", "export", ""])
def test_models_go_by_their_names_in_the_store(
    tmp_path: Path, name: str, built: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure(tmp_path)
    (tmp_path / "weakseg.mar").rename(tmp_path / "mine.mar")
    assert archives.ensure_archive("mine", tmp_path, print).name == "weakseg"
    monkeypatch.chdir(archives.ROOT)  # where there is a folder `export`
    with pytest.raises(ModelError, match=r"it has: mine.*without path and \.mar"):
        archives.ensure_archive(name.format(store=tmp_path, folder=tmp_path.name), tmp_path, print)


def test_without_a_demonstration_missing_weights_are_an_error(
    built: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _set_weights(monkeypatch, available=False)
    with pytest.raises(WeightsUnavailableError, match="no network"):
        ensure(tmp_path, demo=False)
    assert built == []


def test_weights_that_are_not_the_published_ones_are_used_with_a_warning(
    built: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DOUBT, "doubt", "x.pth is not the published file")
    assert "WARNING: x.pth is not the published file" in ensure(tmp_path)[1].splitlines()
    assert built == ["1.0"]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    content = {
        "network": "demo",
        "classes": ["disc", "square"],
        "hw": [64, 80],
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "multi_label": True,
        "state_dict": build_network("demo", 2).state_dict(),
    }
    torch.save(content, tmp_path / "best.pt")
    return tmp_path / "best.pt"


def ensure_trained(checkpoint: Path, method: str | None = None) -> tuple[Path, str]:
    """The archive beside a checkpoint, and what was said."""
    said: list[str] = []
    trained = archives.read_checkpoint(checkpoint, said.append, method=method)
    archives.ensure_trained(trained, checkpoint.parent, said.append)
    return checkpoint.parent / f"{trained.name}.mar", "\n".join(said)


@pytest.mark.parametrize(("method", "name"), [(None, "demo_cam"), ("dcsm", "demo_dcsm")])
def test_a_checkpoint_becomes_an_archive_named_after_network_and_method(
    checkpoint: Path, method: str | None, name: str
) -> None:
    archive, _ = ensure_trained(checkpoint, method)
    assert archive.stem == name
    card = archives.open_archive(archive).card
    assert (card.classes, card.multi_label, card.preprocessing.width) == (("disc", "square"), True, 80)
    assert card.made_of == archives.fingerprint(archives._SOURCES)


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Replaces the export of checkpoints by writing a card; lists what was exported."""
    made: list[str] = []

    def write(classifier: Any, *, name: str, directory: Path, card_fields: dict[str, Any], **_: Any) -> None:
        weights = classifier.weights.model_dump()
        config = make_card(name=name, weights=weights, made_of=card_fields["made_of"]).to_yaml()
        with zipfile.ZipFile(directory / f"{name}.mar", "w") as archive:
            archive.writestr("model-config.yaml", config)
        made.append(name)

    monkeypatch.setattr(build, "build_archive", write)
    return made


def test_a_checkpoint_is_exported_once_and_again_when_a_source_changes(
    checkpoint: Path, exports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, _ = ensure_trained(checkpoint)
    assert "up to date" in ensure_trained(checkpoint)[1]
    assert exports == ["demo_cam"]
    monkeypatch.setattr(archives, "fingerprint", lambda _: "other sources")
    ensure_trained(checkpoint)
    assert exports == ["demo_cam"] * 2
    change_card(archive, made_of=None)
    assert "up to date" in ensure_trained(checkpoint)[1], "exported by hand from these weights"
    ensure_trained(checkpoint, "saliency")
    assert exports[2:] == ["demo_saliency"], "another method, another archive"


def test_an_archive_of_other_weights_is_never_overwritten(checkpoint: Path, exports: list[str]) -> None:
    archive, _ = ensure_trained(checkpoint)
    before = archive.read_bytes()
    content = torch.load(checkpoint)
    content["classes"] = ["disc", "ring"]
    torch.save(content, checkpoint)
    with pytest.raises(ModelError, match=r"demo_cam\.mar holds other weights .* --store"):
        ensure_trained(checkpoint)
    assert archive.read_bytes() == before
    assert exports == ["demo_cam"]


def test_nothing_is_exported_while_the_checkpoint_is_served(
    checkpoint: Path, exports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, _ = ensure_trained(checkpoint)
    running = torchserve.Instance(1, 8080, ("demo_cam",), archive.parent, archive.parent, archive.parent)
    settings = derive(launcher.CONFIG.read_text(), running.port, {"models": "{}"})
    running.config.write_text(settings)
    monkeypatch.setattr(torchserve, "find", lambda _: running)
    monkeypatch.setattr(torchserve, "is_ready", lambda *_: True)
    monkeypatch.setattr(launcher, "show_usage", lambda *_: None)  # it looks for a drawing, as the network is `demo`
    monkeypatch.setattr(archives, "fingerprint", lambda _: "other sources")
    asked = ["--checkpoint", str(checkpoint), "--store", str(checkpoint.parent), "--state", str(checkpoint.parent)]
    done = CliRunner().invoke(app, asked)
    assert (done.exit_code, "It runs already" in done.output) == (0, True), done.output
    assert exports == ["demo_cam"]
    running.config.write_text(settings.replace("disable_token_authorization=true", "disable_token_authorization=false"))
    done = CliRunner().invoke(app, asked)
    assert (done.exit_code, "disable_token_authorization" in done.output) == (1, True), done.output
    running.config.write_text(settings)
    change_card(archive, weights={"source": "another", "licence": "none", "sha256": "1"})
    done = CliRunner().invoke(app, asked)
    assert (done.exit_code, "holds other weights" in done.output) == (1, True), done.output


def test_methods_of_checkpoints_are_checked(checkpoint: Path) -> None:
    with pytest.raises(ModelError, match="--method magic: give one of cam, saliency"):
        archives.read_checkpoint(checkpoint, print, method="magic")
    result = CliRunner().invoke(app, ["--build-only", "--method", "cam"])
    assert result.exit_code == 2
    assert "belongs to" in result.output


def test_a_checkpoint_that_labels_pixels_is_served_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    know_strided(monkeypatch)
    path = write_checkpoint(tmp_path / "best.pt")
    archive, _ = ensure_trained(path)
    card = archives.open_archive(archive).card
    assert (card.name, card.method, card.classes, card.multi_label) == ("strided", "pixels", ("shoe", "sock"), False)
    assert (card.preprocessing.height, card.preprocessing.width, card.preprocessing.max_side) == (33, 50, 64)
    assert card.made_of == archives.fingerprint(archives._SOURCES)
    assert "up to date" in ensure_trained(path)[1]
    with pytest.raises(
        ModelError, match=r"--method does not go with it: .*best\.pt holds a network that labels pixels"
    ):
        archives.read_checkpoint(path, print, method="saliency")


@pytest.fixture
def hair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In the place of the weights that come with the package; nothing can be downloaded."""
    know_strided(monkeypatch)
    _set_weights(monkeypatch, available=False)
    monkeypatch.setattr(bundled, "WEIGHTS", tmp_path / "weights")
    return write_checkpoint(tmp_path / "weights" / "hair.pt", classes=("hair",), max_side=80)


def test_weights_of_the_package_make_a_default_model(hair: Path, tmp_path: Path) -> None:
    assert archives.default_models() == ("weakseg", "hair")
    said: list[str] = []
    card = archives.ensure_archive("hair", tmp_path / "store", said.append)
    assert (card.name, card.method, card.classes, card.preprocessing.max_side) == ("hair", "pixels", ("hair",), 80)
    assert (card.tag_threshold, card.photo_task.refine, card.photo_task.threshold) == (0.5, "none", 0.5)
    assert "weights/hair.pt" in card.weights.source
    assert card.made_of == archives.fingerprint(archives._SOURCES)
    assert (said[0], said[-1]) == ("hair: build the graph", "hair: archive")
    hair.unlink()
    assert archives.default_models() == ("weakseg",)


def test_bundled_models_are_made_once_and_again_when_a_source_changes(
    hair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def write(name: str, directory: Path, _: object, *, made_of: str) -> None:
        with zipfile.ZipFile(directory / f"{name}.mar", "w") as archive:
            archive.writestr("model-config.yaml", make_card(name=name, made_of=made_of).to_yaml())
        made.append(made_of)

    monkeypatch.setattr(default_models, "build_bundled_model", write)
    said: list[str] = []
    for sources in ("one", "one", "two"):
        monkeypatch.setattr(archives, "fingerprint", lambda _, sources=sources: sources)
        archives.ensure_archive("hair", tmp_path, said.append)
    assert (made, said) == (["one", "two"], ["hair: up to date"])
    change_card(tmp_path / "hair.mar", made_of=None)
    archives.ensure_archive("hair", tmp_path, said.append)
    assert (len(made), said[-1]) == (2, "hair: not made by this program, so it is served as it is")


def test_without_names_the_launcher_serves_all_default_models(
    hair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(archives, "ensure_archive", lambda name, *_, **__: asked.append(name))
    arguments = ["--build-only", "--store", str(tmp_path), "--state", str(tmp_path)]
    for more in ([], ["--models", "mine, hair"]):
        done = CliRunner().invoke(app, [*arguments, *more])
        assert done.exit_code == 0, done.output
    assert asked == ["weakseg", "hair", "mine", "hair"]
