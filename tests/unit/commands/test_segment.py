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
from weakseg.commands import flags
from weakseg.commands.flags import find_store
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


@pytest.mark.parametrize("output", ["mask", "json"])
def test_it_says_what_auto_chose(photos: Path, output: str) -> None:
    arguments = ["--budget-ms", "0.001", "--format", output]
    result = RUN.invoke(app, ["segment", str(photos / "wide.jpg"), *STORE, *arguments])
    assert result.exit_code == 0, result.output
    assert "refine=auto chose none: " in result.stdout
    assert "of 0.001 ms expected" in result.stdout
    assert "no refinement fits" in result.stderr


def test_json_of_two_photos_into_a_folder(photos: Path) -> None:
    paths = [str(photos / name) for name in ("wide.jpg", "tall.jpg")]
    result = RUN.invoke(app, ["segment", *paths, *STORE, "--classes", "dog", "--format", "json", "--out", "new/masks"])
    assert result.exit_code == 0, result.output
    found = json.loads(Path("new/masks/tall.json").read_text())
    assert found["segments"][0]["area_px"] == 24 * 48
    assert Path("new/masks/wide.json").exists()
    assert "1 dog: score 0.18" in result.stdout
    assert "0 pixels" in result.stdout
    assert "warning: dog: its mask is empty" in result.stderr


def test_out_may_be_a_file(photos: Path) -> None:
    arguments = ["--format", "cutout", "--out", "cat.png"]
    assert RUN.invoke(app, ["segment", str(photos / "tall.jpg"), *STORE, *arguments]).exit_code == 0
    with Image.open("cat.png") as cutout:
        assert cutout.mode == "RGBA"


@pytest.mark.parametrize(
    ("names", "arguments", "shared"),
    [
        (("x/1.jpg", "y/1.png"), ["--out", "masks"], "masks/1.mask.png"),
        (("x/1.jpg", "y/1.png"), ["--out", "masks", "--format", " JSON"], "masks/1.json"),
        (("x/1.jpg", "x/1.png"), [], "x/1.mask.png"),
        (("x/1.jpg", "x/../x/1.png"), [], "x/../x/1.mask.png"),
    ],
)
def test_two_photos_for_one_file_are_refused_before_any_work(
    photos: Path, names: tuple[str, str], arguments: list[str], shared: str
) -> None:
    for name in names:
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes((photos / "wide.jpg").read_bytes())
    result = RUN.invoke(app, ["segment", *names, *STORE, "--classes", "cat", *arguments])
    assert result.exit_code == 2
    assert f"{names[0]} and {names[1]} would both be written to {shared}" in result.stderr
    assert "one at a time" in result.stderr
    assert not Path(shared).exists()


def test_photos_of_one_name_in_two_folders_keep_their_masks_beside_them(photos: Path) -> None:
    names = ["x/1.jpg", "y/1.jpg"]
    for name, source in zip(names, ("wide.jpg", "tall.jpg"), strict=True):
        Path(name).parent.mkdir()
        Path(name).write_bytes((photos / source).read_bytes())
    assert RUN.invoke(app, ["segment", *names, *STORE]).exit_code == 0
    assert np.array(Image.open("x/1.mask.png")).shape == (64, 96)
    assert np.array(Image.open("y/1.mask.png")).shape == (96, 64)


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
    assert f"No model 'oracle' in {Path('store').resolve()} (it has: colours)" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("names", "arguments", "message"),
    [
        (["wide.jpg"], ["--out", "x.jpg"], "x.png"),
        (["wide.jpg"], ["--out", "x.png", "--format", "json"], "x.json"),
        (["wide.jpg", "tall.jpg"], ["--out", "x.png"], "several photos need a folder"),
    ],
)
def test_a_file_name_that_does_not_fit_is_refused(
    photos: Path, names: list[str], arguments: list[str], message: str
) -> None:
    result = RUN.invoke(app, ["segment", *(str(photos / name) for name in names), *STORE, *arguments])
    assert result.exit_code == 2
    assert message in result.stderr
    assert not Path(arguments[1]).exists()


def test_folders_may_have_a_dot_once_they_are_there(photos: Path) -> None:
    Path("masks.v2").mkdir()
    paths = [str(photos / name) for name in ("wide.jpg", "tall.jpg")]
    assert RUN.invoke(app, ["segment", *paths, *STORE, "--out", "masks.v2"]).exit_code == 0
    assert len(list(Path("masks.v2").iterdir())) == 2


def test_the_store_is_found(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["segment", str(photos / "wide.jpg"), "--model", "colours", "--classes", "cat"]
    assert RUN.invoke(app, arguments, env={"WEAKSEG_STORE": "store"}).exit_code == 0
    assert RUN.invoke(app, arguments, env={"WEAKSEG_STORE": "elsewhere"}).exit_code == 2
    assert find_store(Path("asked")) == Path("asked")
    monkeypatch.setattr(flags, "__file__", str(Path("checkout/src/weakseg/commands/flags.py").resolve()))
    assert find_store(None) == Path("model_store"), "neither is there"
    Path("checkout/model_store").mkdir(parents=True)
    assert find_store(None) == Path("checkout/model_store").resolve()
    Path("model_store").mkdir()
    assert find_store(None) == Path("model_store")
