"""``weakseg segment`` on drawn photos with a model whose masks are known by hand."""

import inspect
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.helpers.colour_archive import write_colour_archive
from tests.helpers.tiny_voc import write_voc
from weakseg.cli import app
from weakseg.commands.segment import segment
from weakseg.options import OPTION_NAMES

RUN = CliRunner()
STORE = ["--model", "colours", "--store", "store"]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_colour_archive(Path("store/colours.mar"))
    return write_voc(Path("data")) / "VOCdevkit/VOC2012/JPEGImages"


def test_every_option_of_a_request_is_a_flag() -> None:
    ours = {"photos", "model", "store", "out"}
    assert set(inspect.signature(segment).parameters) - ours == set(OPTION_NAMES)


def test_a_mask_beside_the_photo(photos: Path) -> None:
    result = RUN.invoke(app, ["segment", str(photos / "wide.jpg"), *STORE, "--classes", "cat"])
    assert result.exit_code == 0, result.output
    mask = np.array(Image.open(photos / "wide.mask.png"))
    assert mask.shape == (64, 96)
    assert mask.sum() == 32 * 40
    assert "1 cat: score 0.20" in result.stdout
    assert "1,280 pixels" in result.stdout
    assert "decode" in result.stdout
    assert " ms" in result.stdout


def test_json_of_two_photos_into_a_folder(photos: Path) -> None:
    paths = [str(photos / name) for name in ("wide.jpg", "tall.jpg")]
    result = RUN.invoke(app, ["segment", *paths, *STORE, "--classes", "dog", "--format", "json", "--out", "new/masks"])
    assert result.exit_code == 0, result.output
    found = json.loads(Path("new/masks/tall.json").read_text())
    assert found["segments"][0]["area_px"] == 24 * 48
    assert Path("new/masks/wide.json").exists()
    assert "1 dog: score 0.18" in result.stdout
    assert "0 pixels" in result.stdout
    assert "warning: dog: the map is below the threshold everywhere" in result.stderr


def test_out_may_be_a_file(photos: Path) -> None:
    arguments = ["--format", "cutout", "--out", "cat.png"]
    assert RUN.invoke(app, ["segment", str(photos / "tall.jpg"), *STORE, *arguments]).exit_code == 0
    with Image.open("cat.png") as cutout:
        assert cutout.mode == "RGBA"


def test_naked_grabcut_has_no_score(photos: Path) -> None:
    arguments = ["--classes", "none", "--box", "10,10,70,55"]
    result = RUN.invoke(app, ["segment", str(photos / "wide.jpg"), *STORE, *arguments])
    assert result.exit_code == 0, result.output
    assert "1 object: 1,280 pixels" in result.stdout


def test_a_bad_photo_is_explained_and_the_others_are_done(photos: Path) -> None:
    Path("notes.jpg").write_text("no picture at all")
    paths = ["notes.jpg", "nowhere.jpg", str(photos / "wide.jpg")]
    result = RUN.invoke(app, ["segment", *paths, *STORE])
    assert result.exit_code == 2
    assert "notes.jpg: image: " in result.stderr
    assert "nowhere.jpg: " in result.stderr
    assert (photos / "wide.mask.png").exists()


@pytest.mark.parametrize(
    ("arguments", "field", "remedy"),
    [
        (["--threshold", "2"], "threshold: ", "Send a number from 0 to 1."),
        (["--classes", "horse"], "classes: 'horse' is not a class", "The model has 3 classes"),
        (["--box", "0,0,97,64"], "box: ", "0 <= x0 < x1 <= 96"),
    ],
)
def test_field_message_and_remedy(photos: Path, arguments: list[str], field: str, remedy: str) -> None:
    result = RUN.invoke(app, ["segment", str(photos / "wide.jpg"), *STORE, *arguments])
    assert result.exit_code == 2
    assert field in result.stderr
    assert remedy in result.stderr
    assert not (photos / "wide.mask.png").exists()


def test_no_such_model(photos: Path) -> None:
    result = RUN.invoke(app, ["segment", str(photos / "wide.jpg"), "--model", "oracle", "--store", "store"])
    assert result.exit_code == 2
    assert "No model 'oracle' in store (it has: colours)" in result.stderr
    assert "Traceback" not in result.stderr
