"""``weakseg batch`` against the real service, and without one: the same files."""

from __future__ import annotations

import asyncio
import tarfile
from pathlib import Path

import pytest
from pycocotools.coco import COCO
from typer.testing import CliRunner

from scripts.archives import default_models
from tests.e2e.conftest import Service
from tests.helpers.photos import cat_photo, every_kind, three_stripes
from weakseg.batch.endpoint import Address, find_concurrency
from weakseg.cli import app

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools 2.0.11


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Every kind of picture, stripes, and one that is cut off."""
    folder = tmp_path / "photos"
    (folder / "größer").mkdir(parents=True)
    for name, content in every_kind().items():
        (folder / f"{name}.jpg").write_bytes(content)
    (folder / "größer" / "stripes.png").write_bytes(three_stripes())
    (folder / "größer" / "tall cat.jpg").write_bytes(cat_photo(160, 240))
    (folder / "größer" / "broken.jpg").write_bytes(cat_photo(400, 300)[:4000])
    return folder


def play(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["batch", *arguments])
    assert type(result.exception) is SystemExit, result.output
    assert result.exit_code == 1, result.output  # one photo is broken
    return result.output


def contents(out: Path) -> dict[str, bytes]:
    files = {str(path.relative_to(out)): path.read_bytes() for path in (out / "masks").rglob("*") if path.is_file()}
    return files | {"coco.json": (out / "coco.json").read_bytes()}


@pytest.mark.parametrize("model", ["tiny_cam", "tiny_pixels", *default_models()])
def test_the_service_and_the_process_make_the_same_files(
    service: Service, photos: Path, tmp_path: Path, model: str
) -> None:
    by_service, here = tmp_path / "by service", tmp_path / "here"
    alone = ["--concurrency", "1"]  # photos that share a batch may have scores that differ in their last digit
    play(str(photos), "--out", str(by_service), "--model", model, "--url", service.launcher.url, *alone)
    arguments = ["--store", str(service.launcher.store), "--in-process", "--workers", "1"]
    said = play(str(photos), "--out", str(here), "--model", model, *arguments)
    assert "13 of 14 photos have masks, 1 failed" in said
    assert "image_truncated: 1 photos" in said
    assert contents(by_service) == contents(here)
    assert len(COCO(here / "coco.json").imgs) == 13


def test_a_tar_with_options(service: Service, photos: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "photos.tar.xz", "w:xz") as tar:
        tar.add(photos, "photos")
    arguments = ["--url", service.launcher.url, "--model", "tiny_pixels", "--classes", "red", "--format", "mask,cutout"]
    said = play(str(tmp_path / "photos.tar.xz"), "--out", str(tmp_path / "out"), *arguments)
    assert "13 of 14 photos have masks" in said
    coco = COCO(tmp_path / "out/coco.json")
    (stripes,) = [image for image in coco.imgs.values() if image["file_name"] == "photos/größer/stripes.png"]
    (red,) = coco.loadAnns(coco.getAnnIds(imgIds=[stripes["id"]]))
    assert (coco.cats[red["category_id"]]["name"], red["bbox"], red["area"]) == ("red", [0, 0, 40, 80], 3200)
    assert len(list((tmp_path / "out/cutouts").rglob("*.png"))) == 13


def test_the_service_says_how_much_it_can_do(service: Service) -> None:
    asked = [find_concurrency(Address(service.launcher.url, model)) for model in ("tiny_cam", "oracle")]
    assert [asyncio.run(each) for each in asked] == [8, None], "one worker, batches of 8"


def test_a_model_that_is_not_served(service: Service, photos: Path, tmp_path: Path) -> None:
    arguments = ["--out", str(tmp_path / "out"), "--model", "oracle", "--url", service.launcher.url]
    result = CliRunner().invoke(app, ["batch", str(photos), *arguments])
    assert result.exit_code == 3
    assert "/predictions/oracle answers 404" in result.output
