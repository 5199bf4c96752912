"""From classifier to archive, with the real torch-model-archiver; and no archive when something is wrong."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
import yaml
from typer.testing import CliRunner

import export.build
from export.__main__ import app
from export.archive import write_archive
from export.build import STEPS, BuiltArchive, Serving, build_archive, read_groups
from export.default_models import SQUEEZENET_FUSION
from export.onnx import export_onnx
from export.parsing import parse_hw, parse_numbers, parse_rgb
from export.torchscript import export_torchscript
from tests.helpers.queries import ask
from tests.helpers.tiny_networks import RedGreenNet
from weakseg.archive import open_archive, read_config
from weakseg.attribution.cam import CamSettings
from weakseg.card import Weights
from weakseg.errors import ModelCardError, ModelError, ParityError
from weakseg.models.classifier import Classifier, Normalisation
from weakseg.runtime import open_runtime

CLASSES = ("difference", "both", "green")
MIDDLE = Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), (64, 96))


@pytest.fixture
def classifier() -> Classifier:
    weights = Weights(source="worked out on paper", licence="CC0-1.0", sha256="none")
    return Classifier("tiny", RedGreenNet(), CLASSES, MIDDLE, weights)


@pytest.fixture
def handler(tmp_path: Path) -> Path:
    path = tmp_path / "cam_handler.py"
    path.write_text("class CamHandler:\n    pass\n", encoding="utf-8")
    return path


@pytest.fixture
def built(classifier: Classifier, handler: Path, tmp_path: Path) -> BuiltArchive:
    return build_archive(
        classifier,
        name="tiny_cam",
        directory=tmp_path / "store",
        groups={"pair": [0, 2]},
        settings=CamSettings(flip=True),
        serving=Serving(workers=2, batch_size=4, max_batch_delay_ms=7, response_timeout_s=60),
        handler=handler,
        card_fields={"version": "2.1", "photo_task": {"threshold": 0.4}, "box_context": 0.25},
    )


def test_archive_holds_both_graphs_the_handler_and_the_card(built: BuiltArchive) -> None:
    with zipfile.ZipFile(built.path) as archive:
        names = set(archive.namelist())
        manifest = json.loads(archive.read("MAR-INF/MANIFEST.json"))
    assert names == {"model.onnx", "model.pt", "model-config.yaml", "cam_handler.py", "MAR-INF/MANIFEST.json"}
    assert manifest["model"] == {
        "modelName": "tiny_cam",
        "modelVersion": "2.1",
        "serializedFile": "model.pt",
        "handler": "cam_handler.py",
        "configFile": "model-config.yaml",
    }


def test_configuration_has_torchserves_keys_and_the_card(built: BuiltArchive) -> None:
    with zipfile.ZipFile(built.path) as archive:
        document = yaml.safe_load(archive.read("model-config.yaml"))
    card = document.pop("weakseg")
    assert document == {
        "minWorkers": 2,
        "maxWorkers": 2,
        "batchSize": 4,
        "maxBatchDelay": 7,
        "responseTimeout": 60,
        "startupTimeout": 300,
        "jobQueueSize": 100,
        "maxRetryTimeoutInSec": 604800,
    }
    assert card["graph"]["flip"] is True
    assert card["photo_task"]["threshold"] == 0.4
    assert card["box_context"] == 0.25
    assert (card["preprocessing"]["height"], card["preprocessing"]["width"]) == (64, 96)
    assert set(card["parity"]["largest_difference_from_eager"]) == {"onnx", "torchscript"}


@pytest.mark.parametrize("runtime", ["onnx", "torchscript"])
def test_archived_graphs_answer(built: BuiltArchive, runtime: str) -> None:
    archive = open_archive(built.path)
    assert archive.card.model_dump(mode="json") == built.card.model_dump(mode="json")
    card = archive.card.model_copy(update={"runtime": runtime})
    red = np.zeros((1, 2, 3, 3), np.uint8)
    red[..., 0] = 255
    found = open_runtime(card, archive.read_file).run(red, ask([[-1, 0]], card.vocabulary()))
    # Normalised red is 1, green and blue -1: logits 2.5, 0.25, -2.
    probs = np.exp([2.5, 0.25, -2.0]) / np.exp([2.5, 0.25, -2.0]).sum()
    assert found.scores[0] == pytest.approx([*probs, probs[0] + probs[2]], abs=1e-6)
    assert found.chosen.tolist() == [[3, 0]]
    assert (found.maps == 1).all()


def test_store_holds_the_archive_and_nothing_else(built: BuiltArchive) -> None:
    assert [path.name for path in built.path.parent.iterdir()] == ["tiny_cam.mar"]


def test_steps_are_announced_in_order(classifier: Classifier, handler: Path, tmp_path: Path) -> None:
    steps: list[str] = []
    build_archive(classifier, name="tiny", directory=tmp_path, handler=handler, on_step=steps.append)
    assert tuple(steps) == STEPS


def test_graphs_that_disagree_leave_the_store_as_it_was(
    built: BuiltArchive, classifier: Classifier, handler: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def export_tampered(torchscript: Path, path: Path, _: object) -> None:
        network = RedGreenNet()
        torch.nn.init.constant_(network.head.weight, 0.3)
        other = Classifier("tiny", network, CLASSES, MIDDLE, classifier.weights)
        graph = export.build.build_graph(other, built.card.vocabulary(), CamSettings(), multi_label=False)
        export_torchscript(graph, torchscript.with_name("other.pt"))
        export_onnx(torchscript.with_name("other.pt"), path)

    before = built.path.read_bytes()
    monkeypatch.setattr(export.build, "export_onnx", export_tampered)
    for name in ("tiny_cam", "another"):
        with pytest.raises(ParityError, match="onnx at"):
            build_archive(classifier, name=name, directory=built.path.parent, handler=handler, groups={"pair": [0, 2]})
    assert [path.name for path in built.path.parent.iterdir()] == ["tiny_cam.mar"]
    assert built.path.read_bytes() == before


def test_a_failing_archiver_leaves_nothing_and_says_why(tmp_path: Path, handler: Path) -> None:
    for name in ("model.onnx", "model.pt"):
        (tmp_path / name).write_bytes(b"graph")
    store = tmp_path / "store"
    with pytest.raises(ModelError, match=r"torch-model-archiver failed: .*model name is"):
        write_archive(name="*", version="1", graphs=tmp_path, config="", handler=handler, directory=store)
    assert list(store.iterdir()) == []


def test_archiver_does_not_touch_a_folder_of_the_models_name(
    classifier: Classifier, handler: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch-model-archiver empties $TMPDIR/<model name> before it works there."""
    precious = tmp_path / "tmp" / "tiny" / "thesis.txt"
    precious.parent.mkdir(parents=True)
    precious.write_text("written over years", encoding="utf-8")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    build_archive(classifier, name="tiny", directory=tmp_path / "a, b [c]", handler=handler)
    assert precious.exists()


def test_a_wrong_card_field_is_named(classifier: Classifier, handler: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelCardError, match=r"threads = 0"):
        build_archive(classifier, name="tiny", directory=tmp_path, handler=handler, card_fields={"threads": 0})


def test_a_missing_handler_is_named_before_any_work(classifier: Classifier, tmp_path: Path) -> None:
    steps: list[str] = []
    with pytest.raises(ModelError, match=r"no handler .*nowhere\.py"):
        build_archive(
            classifier, name="tiny", directory=tmp_path, handler=tmp_path / "nowhere.py", on_step=steps.append
        )
    assert steps == []


def test_groups_from_a_file_take_names_and_numbers(tmp_path: Path) -> None:
    path = tmp_path / "groups.yaml"
    path.write_text("pair: [difference, 2]\nall: [0, 1, 2]\n", encoding="utf-8")
    assert read_groups(str(path), CLASSES) == {"pair": [0, 2], "all": [0, 1, 2]}
    assert read_groups("none", CLASSES) == {}


@pytest.mark.parametrize("text", ["- 1\n", "pair: 3\n", "pair: [", "pair: [unicorn]\n"])
def test_wrong_group_files_are_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "groups.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match="Groups cannot be read"):
        read_groups(str(path), CLASSES)


def test_voc_groups_are_for_imagenet_only() -> None:
    assert read_groups("voc", [str(index) for index in range(1000)])["horse"] == [339]
    with pytest.raises(ModelError, match="this network has 3"):
        read_groups("voc", CLASSES)


def test_command_line_reads_sizes_and_numbers() -> None:
    assert parse_hw("240x320") == (240, 320)
    assert parse_hw("224") == (224, 224)
    assert parse_numbers("1,0.75") == (1.0, 0.75)
    assert parse_rgb("0.5") == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--size", "big"],
        ["--scales", "1;2"],
        ["--mean", "1,2"],
        ["--network", "alexnet"],
        ["--max-batch-delay", "0"],  # TorchServe would read it as 100
    ],
)
def test_command_line_refuses_what_it_cannot_use(arguments: list[str], tmp_path: Path) -> None:
    common = ["--network", "squeezenet1_1", "--weights", "random", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, [*common, *arguments])
    assert result.exit_code in (1, 2)
    assert list(tmp_path.iterdir()) == []


def test_command_line_archives_a_users_own_checkpoint(handler: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = torchvision.models.squeezenet1_1(weights=None, num_classes=2)
    torch.save({"state_dict": network.state_dict()}, tmp_path / "best.pth")
    (tmp_path / "names.txt").write_text("cat\nguinea pig\n", encoding="utf-8")
    arguments = ["--checkpoint", str(tmp_path / "best.pth"), "--classes", str(tmp_path / "names.txt")]
    arguments += [
        "--handler",
        str(handler),
        "--size",
        "64x96",
        "--name",
        "pets",
        "--licence",
        "MIT",
        "--out",
        str(tmp_path / "store"),
    ]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "Wrote" in result.output
    assert "tolerance 0.0001" in " ".join(result.output.split())
    assert read_config(tmp_path / "store" / "pets.mar")["maxBatchDelay"] == 1
    card = open_archive(tmp_path / "store" / "pets.mar").card
    assert card.made_of == "", "the launcher would take it for its own"
    assert card.classes == ("cat", "guinea pig")
    assert card.groups == {}
    assert card.weights.licence == "MIT"


def test_a_preset_is_the_default_models_recipe_and_flags_beside_it_win(
    handler: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def record(_: object, **given: Any) -> None:
        seen.update(given)
        raise ModelError("seen [enough]")

    monkeypatch.setattr("export.__main__.build_archive", record)
    common = ["--weights", "random", "--preset", "weakseg"]
    result = CliRunner().invoke(app, common)
    assert result.exit_code == 1
    assert (seen["settings"], seen["hw"]) == (SQUEEZENET_FUSION, (448, 448))
    assert (seen["card_fields"]["refine_side"], seen["card_fields"]["box_context"]) == (192, 0.3)
    assert "ModelError: seen [enough]" in result.output.splitlines(), "on a line of its own"
    (tmp_path / "card.yaml").write_text("refine_side: 200\n")
    flags = ["--no-similarity", "--scales", "1", "--size", "64x96", "--card", str(tmp_path / "card.yaml")]
    CliRunner().invoke(app, [*common, *flags])
    assert seen["settings"] == replace(SQUEEZENET_FUSION, similarity=False, scales=(1.0,))
    assert seen["hw"] == (64, 96)
    assert (seen["card_fields"]["refine_side"], seen["card_fields"]["box_context"]) == (200, 0.3)
    CliRunner().invoke(app, ["--weights", "random"])
    assert (seen["settings"], seen["hw"]) == (CamSettings(), None)


def test_a_missing_checkpoint_is_named_before_any_work() -> None:
    result = CliRunner().invoke(app, ["--checkpoint", "nowhere.pth"], env={"TERM": "dumb", "COLUMNS": "200"})
    assert result.exit_code == 2
    assert "'nowhere.pth' does not exist" in result.output
    assert "load" not in result.output


def test_classes_without_names_are_announced(handler: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(torchvision.models.squeezenet1_1(weights=None, num_classes=2).state_dict(), tmp_path / "best.pth")
    arguments = ["--checkpoint", str(tmp_path / "best.pth"), "--handler", str(handler), "--size", "64x96"]
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "store")])
    assert result.exit_code == 0, result.output
    assert 'named "class 0"' in result.output
