"""``weakseg batch`` as it is typed: in this process with a model whose masks are known, and against a fake service."""

import inspect
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from typer.testing import CliRunner

from tests.helpers.colour_archive import write_colour_archive, write_pixel_archive
from tests.helpers.fake_service import Error, FakeService
from tests.helpers.tiny_voc import write_voc
from weakseg.batch import sources
from weakseg.cli import app
from weakseg.commands.batch import batch
from weakseg.options import OPTION_NAMES

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
RUN = CliRunner()
HERE = ["--in-process", "--workers", "1", "--model", "colours", "--store", "store", "--out", "out"]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_colour_archive(Path("store/colours.mar"))
    return write_voc(Path("data")) / "VOCdevkit/VOC2012/JPEGImages"


def play(*arguments: str, code: int = 0, **settings: str) -> str:
    result = RUN.invoke(app, ["batch", *arguments], env=settings)
    assert result.exit_code == code, result.output
    assert code == 0 or type(result.exception) is SystemExit, result.exception
    return result.output


def test_every_option_of_a_request_but_the_format_is_a_flag() -> None:
    flags = set(inspect.signature(batch).parameters)
    assert flags >= set(OPTION_NAMES) - {"format"}
    assert "formats" in flags


def test_help_teaches() -> None:
    said = play("--help")
    for words in ("--in-process", "WEAKSEG_TOKEN", "coco.json", "failures.csv", "--retry-failed", "Exit code"):
        assert words in said


def test_masks_that_are_probably_wrong_are_counted(photos: Path) -> None:
    said = play(str(photos), *HERE, "--classes", "dog,cat", "--box", "0,0,3,3")
    warned = sum("warnings" in image for image in COCO("out/coco.json").imgs.values())
    assert warned
    assert f"{warned} masks are probably wrong" in said


def test_values_of_masks_are_categories_whatever_was_asked_for(photos: Path) -> None:
    said = play(str(photos), *HERE, "--classes", "dog,cat")
    coco = COCO("out/coco.json")
    assert {number: found["name"] for number, found in coco.cats.items()} == {1: "cat", 2: "dog"}
    tall = np.array(Image.open("out/masks/tall.jpg.png"))
    assert (tall.shape, sorted(np.unique(tall))) == ((96, 64), [0, 1, 2])
    assert (tall[72:96, :48] == 2).all(), "green is dog"
    assert "2 of 2 photos have masks" in said
    assert "1 cat: in 2 photos" in said
    assert coco.dataset["info"]["options"] == {"classes": "dog,cat"}


def test_a_network_that_learned_masks_has_the_values_of_its_legend(photos: Path) -> None:
    write_pixel_archive(Path("store/colours.mar"))
    play(str(photos), *HERE, "--classes", "dog")
    coco = COCO("out/coco.json")
    assert {number: found["name"] for number, found in coco.cats.items()} == {1: "cat", 2: "dog", 3: "sky"}
    assert set(np.unique(np.array(Image.open("out/masks/tall.jpg.png")))) == {0, 2}


def test_without_a_server_in_two_processes(photos: Path) -> None:
    play(str(photos), *HERE, "--classes", "cat", "--batch-size", "2")
    arguments = [*HERE[:2], "2", *HERE[3:-1], "processes"]
    script = "from weakseg.cli import app; app()"
    done = subprocess.run(
        [sys.executable, "-c", script, "batch", str(photos), *arguments, "--classes", "cat"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name in ("masks/wide.jpg.png", "masks/tall.jpg.png", "coco.json"):
        assert (Path("out") / name).read_bytes() == (Path("processes") / name).read_bytes()


def test_the_upright_photo(photos: Path) -> None:
    with Image.open(photos / "wide.jpg") as wide:
        exif = Image.Exif()
        exif[0x0112] = 6
        wide.transpose(Image.Transpose.ROTATE_90).save("turned.jpg", quality=95, subsampling=0, exif=exif)
    Path("list").write_text("turned.jpg\n")
    play("list", *HERE)
    (image,) = COCO("out/coco.json").imgs.values()
    assert (image["width"], image["height"]) == (96, 64)
    assert np.array(Image.open("out/masks/turned.jpg.png")).shape == (64, 96)


def test_a_tar_without_a_server(photos: Path) -> None:
    with tarfile.open("photos.tgz", "w:gz") as tar:
        tar.add(photos, "a")
        tar.add(photos / "wide.jpg", "../../evil.jpg")
    said = play("photos.tgz", *HERE, code=1)
    assert sorted(path.name for path in Path("out/masks/a").iterdir()) == ["tall.jpg.png", "wide.jpg.png"]
    assert "name_unsafe: 1 photos; see out/failures.csv" in said
    everything = {path.name for path in Path().rglob("*.png")}
    assert everything == {"tall.jpg.png", "wide.jpg.png", "tall.png", "wide.png"}, "the last two are the data set's"


def test_a_photo_that_is_none(photos: Path) -> None:
    (photos / "notes.jpg").write_text("no picture at all")
    said = play(str(photos), *HERE, "--quiet", code=1)
    assert said.splitlines() == [
        "notes.jpg: image_unreadable: This is text, not an accepted picture. Send a picture as JPEG, PNG, WebP, BMP or"
        " TIFF."
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data", *HERE, "--threshold", "2"], "threshold: '2' is not valid"),
        (["data", *HERE, "--format", "mask,gif"], "--format mask,gif: send some of mask, cutout"),
        (["nowhere", *HERE], "nowhere: there is no such folder or file"),
        (["data", *HERE[:4], "oracle", *HERE[5:]], "No model 'oracle'"),
        (["data", "--out", "store/colours.mar"], "colours.mar"),
    ],
)
def test_what_cannot_begin(photos: Path, arguments: list[str], message: str) -> None:
    said = play(*arguments, code=2)
    assert message in " ".join(said.split()).replace("│ ", "")
    assert not Path("out/masks").exists()


def test_a_token_and_a_version_are_sent(photos: Path) -> None:
    with FakeService(lambda asked: Error(415)).running() as service:
        play(str(photos), "--out", "out", "--url", service.url, "--version", "2.1", code=1, WEAKSEG_TOKEN="secret")
        assert service.paths == {"/predictions/weakseg/2.1"}
        assert service.tokens == {"Bearer secret"}
    assert "secret" not in Path("out/journal.jsonl").read_text() + Path("out/summary.json").read_text()


def test_a_service_that_is_not_there(photos: Path) -> None:
    with FakeService().running() as service:
        pass
    (photos / "third.jpg").write_bytes((photos / "wide.jpg").read_bytes())
    said = play(str(photos), "--out", "out", "--url", service.url, "--patience", "0", "--concurrency", "3", code=3)
    assert "3 photos in a row got no mask" in said
    assert json.loads(Path("out/summary.json").read_text())["failures"] == {"unreachable": 3}


def test_neither_help_nor_a_client_waits_for_pytorch() -> None:
    script = "import sys, weakseg.cli, weakseg.batch.run; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == "False"


def test_nothing_larger_than_the_service_takes_is_sent(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (photos / "huge.jpg").open("wb") as file:
        file.truncate(sources.MAX_BYTES + 1)
    with FakeService(lambda _: Error(415)).running() as service:
        play(str(photos), "--out", "out", "--url", service.url, code=1)
        assert len(service.asked) == 2
    assert json.loads(Path("out/summary.json").read_text())["failures"]["image_too_large"] == 1
