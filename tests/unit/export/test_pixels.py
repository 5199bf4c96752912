"""From a checkpoint of a pixel network to an archive, by the command line and in process."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from typer.testing import CliRunner

from export.__main__ import app
from export.build import build_archive
from export.default_models import METHOD_FIELDS
from tests.helpers.fakes import make_pixel_card
from tests.helpers.pixel_checkpoints import know_strided, strided_model, write_checkpoint
from tests.helpers.queries import ask
from tests.helpers.tiny_networks import RedGreenNet
from weakseg.archive import open_archive, read_config
from weakseg.attribution.cam import CamSettings
from weakseg.attribution.pixels import PixelSettings
from weakseg.card import Weights
from weakseg.errors import ModelCardError, ModelError
from weakseg.models.classifier import Classifier, Normalisation
from weakseg.models.pixel.load import load_pixel_model
from weakseg.options import parse_options
from weakseg.runtime import open_runtime


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    know_strided(monkeypatch)
    return write_checkpoint(tmp_path / "best.pt")


def run(checkpoint: Path, *arguments: str) -> Result:
    store = str(checkpoint.parent / "store")
    return CliRunner().invoke(app, ["--checkpoint", str(checkpoint), "--out", store, *arguments])


def test_a_checkpoint_alone_is_enough(checkpoint: Path) -> None:
    done = run(checkpoint)
    assert done.exit_code == 0, done.output
    archive = open_archive(checkpoint.parent / "store" / "strided.mar")
    card = archive.card
    assert (card.method, card.network, card.classes, card.runtime) == ("pixels", "strided", ("shoe", "sock"), "onnx")
    own = card.preprocessing
    assert (own.height, own.width, own.max_side, own.mean, own.std) == (33, 50, 64, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
    assert card.graph == {"flip": False, "window_px": 9, "network_options": {"width": 6}}
    assert card.parity["sizes_hw"] == [[33, 50], [64, 75]]
    assert set(card.parity["largest_difference_from_eager"]) == {"onnx", "torchscript"}
    assert b"class PixelHandler" in archive.read_file("pixel_handler.py")
    assert read_config(archive.path)["batchSize"] == 4


def test_defaults_cut_probabilities_at_one_half(checkpoint: Path) -> None:
    run(checkpoint)
    card = open_archive(checkpoint.parent / "store" / "strided.mar").card
    assert card.tag_threshold == 0.5
    for sent in ({}, {"box": "1,1,5,9"}):
        settings = card.settings(parse_options(sent))
        assert (settings.refine, settings.threshold) == ("none", 0.5)
    crf = card.settings(parse_options({"refine": "crf"})).crf
    assert crf is not None
    assert crf.confidence == 1
    assert card.settings(parse_options({"refine": "grabcut"})).levels == (0.1, 0.5, 0.9)
    ranking = card.ranking(parse_options({"refine": "auto"}))
    assert [each.refine for each in ranking] == ["crf", "crf", "guided", "none"]


@pytest.mark.parametrize("runtime", ["onnx", "torchscript"])
def test_the_archived_graph_answers_as_the_network_does(checkpoint: Path, runtime: str) -> None:
    done = run(checkpoint, "--name", "feet", "--flip", "--size", "40x56", "--runtime", runtime, "--threads", "2")
    assert done.exit_code == 0, done.output
    archive = open_archive(checkpoint.parent / "store" / "feet.mar")
    card = archive.card
    assert (card.runtime, card.threads, card.graph["flip"]) == (runtime, 2, True)
    assert (card.preprocessing.height, card.preprocessing.width, card.preprocessing.max_side) == (40, 56, 64)
    photo = np.random.default_rng(0).integers(0, 256, (1, 21, 30, 3), dtype=np.uint8)
    found = open_runtime(card, archive.read_file).run(photo, ask([[1, 0]], card.vocabulary()))
    network = load_pixel_model(checkpoint).model
    pixels = (torch.from_numpy(photo).permute(0, 3, 1, 2) / 255 - _column(0.4, 0.5, 0.6)) / _column(0.2, 0.25, 0.3)
    with torch.inference_mode():
        probs = (network(pixels).softmax(1) + network(pixels.flip(3)).softmax(1).flip(3)) / 2  # (1, 3, 21, 30)
    np.testing.assert_allclose(found.maps, probs[:, [2, 1]].numpy(), atol=1e-5)


def _column(*values: float) -> torch.Tensor:
    return torch.tensor(values)[:, None, None]


def test_cards_names_and_groups_are_the_callers(checkpoint: Path) -> None:
    folder = checkpoint.parent
    (folder / "names.txt").write_text("boot\nstocking\n", encoding="utf-8")
    (folder / "groups.yaml").write_text("footwear: [boot, stocking]\n", encoding="utf-8")
    (folder / "card.yaml").write_text("preprocessing: {max_side: 96}\nphoto_task: {refine: crf}\n", encoding="utf-8")
    flags = {"classes": "names.txt", "groups": "groups.yaml", "card": "card.yaml"}
    done = run(checkpoint, *(word for flag, name in flags.items() for word in (f"--{flag}", str(folder / name))))
    assert done.exit_code == 0, done.output
    card = open_archive(folder / "store" / "strided.mar").card
    assert (card.classes, card.groups) == (("boot", "stocking"), {"footwear": (0, 1)})
    assert (card.preprocessing.max_side, card.preprocessing.height) == (96, 33)
    assert (card.photo_task.refine, card.photo_task.threshold, card.box_task.refine) == ("crf", 0.5, "none")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "saliency"], r"--method does not go with it: .*best\.pt holds a network that labels pixels"),
        (["--network", "vgg16"], "--network does not go with it"),
        (["--preset", "squeezenet_cam"], "--preset does not go with it"),
        (["--multi-label"], "--multi-label does not go with it"),
        (["--contrast", "0.5"], r"pixels maps have no setting 'contrast'\. They have: \['flip', 'window_px'\]"),
        (["--scales", "1,0.5"], "pixels maps have no setting 'scales'"),
        (["--groups", "voc"], "groups=voc is for the 1000 classes of ImageNet; this network has 2"),
    ],
)
def test_flags_that_make_no_sense_are_refused_by_name(checkpoint: Path, arguments: list[str], message: str) -> None:
    done = run(checkpoint, *arguments)
    assert done.exit_code == 1
    assert re.search(message, " ".join(done.output.split())), done.output
    assert not (checkpoint.parent / "store").exists()


def test_settings_of_another_kind_of_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="strided makes no cam maps"):
        build_archive(strided_model(), name="a", directory=tmp_path, settings=CamSettings())
    weights = Weights(source="worked out on paper", licence="none", sha256="none")
    classifier = Classifier("tiny", RedGreenNet(), ("a", "b", "c"), Normalisation(hw=(64, 96)), weights)
    with pytest.raises(ModelError, match="tiny makes no pixels maps"):
        build_archive(classifier, name="a", directory=tmp_path, settings=PixelSettings())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("side", [8, 1025])
def test_a_max_side_that_cannot_be_is_named(tmp_path: Path, side: int) -> None:
    """Requests without the option would be seen at it: no more than one that sends it may ask for."""
    with pytest.raises(ModelCardError, match=rf"preprocessing\.max_side = {side}"):
        build_archive(strided_model(), name="a", directory=tmp_path, card_fields={"preprocessing": {"max_side": side}})


def test_the_usual_fields_fit_a_card() -> None:
    card = make_pixel_card(**METHOD_FIELDS["pixels"])
    assert card.photo_task == card.box_task
