"""The gallery of photos and masks in two folders: which rows it shows, and what stands under their masks."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.helpers.colour_archive import write_pixel_archive
from weakseg.cli import app
from weakseg.evaluation.folder_gallery import rank_photos
from weakseg.evaluation.folder_records import FolderRecord
from weakseg.evaluation.gallery import Ranked

ARGUMENTS = ["evaluate", "--images", "images", "--masks", "masks", "--model", "colours", "--store", "store"]
FOLDERS = [*ARGUMENTS, "--jobs", "1", "--out", "out", "--gallery", "--gallery-images", "1"]


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Photos of 20 x 30 with a cat of 10 x 12, of which the model sees 10 x SEEN; and one without a cat."""
    monkeypatch.chdir(tmp_path)
    for name, seen in {"good": 12, "fair": 9, "poor": 3, "none": 0}.items():
        rgb, mask = np.zeros((20, 30, 3), np.uint8), np.zeros((20, 30), np.uint8)
        rgb[4:14, 5 : 5 + seen, 0] = 255
        mask[4:14, 5:17] = bool(seen)
        for folder, picture in (("images", rgb), ("masks", mask)):
            Path(folder).mkdir(exist_ok=True)
            Image.fromarray(picture).save(f"{folder}/{name}.png")
    write_pixel_archive(Path("store/colours.mar"))


def test_best_median_and_worst_with_truth_and_predictions() -> None:
    result = CliRunner().invoke(app, [*FOLDERS, "--refines", "none,gaussian"])
    assert result.exit_code == 0, result.output
    assert "gallery in out/gallery/index.html" in result.stdout
    page = Path("out/gallery/index.html").read_text(encoding="utf-8")
    assert re.findall("<h[23]>(.+)</h[23]>", page) == [
        *("Best", "cat in good: 100.0%"),
        *("Median", "cat in fair: 75.0%"),
        *("Worst", "cat in poor: 25.0%"),
    ]
    captions = re.findall("<figcaption>(.+?)</figcaption>", page)
    assert captions[4:7] == ["photo", "none (in force): 75.0%", captions[6]]
    assert re.fullmatch(r"gaussian: \d+\.\d%", captions[6])
    assert captions[7] == "ground truth"
    pictures = sorted(path.name for path in Path("out/gallery").glob("*.jpg"))
    assert sorted(re.findall('src="(.+?)"', page)) == pictures
    assert "known tags" not in page
    with Image.open("out/gallery/poor_cat_truth.jpg") as truth, Image.open("out/gallery/poor_cat_0.jpg") as found:
        differing = np.abs(np.asarray(truth, int) - np.asarray(found, int)).max(-1) > 60
    assert differing[6:12, 10:15].mean() > 0.5, "what the model missed of the cat"
    assert not differing[17:].any()


def test_a_class_whose_name_is_no_file_name() -> None:
    classes = ("cat/kitten", "cat_kitten")
    write_pixel_archive(Path("store/colours.mar"), classes=classes, groups={})
    result = CliRunner().invoke(app, FOLDERS)
    assert result.exit_code == 0, result.output
    pictures = {path.name for path in Path("out/gallery").glob("*.jpg")}
    assert {"good_cat_kitten_1_photo.jpg", "poor_cat_kitten_1_truth.jpg"} <= pictures
    page = Path("out/gallery/index.html").read_text(encoding="utf-8")
    assert set(re.findall('src="(.+?)"', page)) == pictures
    assert "cat/kitten in good" in page


def test_another_gallery_leaves_no_old_pictures() -> None:
    Path("out/gallery").mkdir(parents=True)
    Path("out/gallery/old.jpg").touch()
    assert CliRunner().invoke(app, FOLDERS).exit_code == 0
    assert not Path("out/gallery/old.jpg").exists()


def test_rows_of_each_class_that_is_truly_there() -> None:
    records = [
        FolderRecord("a", {"in_force": [[0, 0, 5], [1, 1, 3], [1, 2, 1]]}, [1.0, 1.0]),  # no dog, but one was found
        FolderRecord("b", {"in_force": [[0, 2, 2], [2, 2, 6]]}, [1.0, 1.0]),
        FolderRecord("c", {"in_force": [[1, 0, 4]]}, [1.0, 1.0]),
    ]
    found = [Ranked("a", "cat", 0.75), Ranked("b", "dog", 0.75), Ranked("c", "cat", 0.0)]
    assert rank_photos(records, ("cat", "dog")) == found
