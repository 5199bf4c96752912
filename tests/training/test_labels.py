"""Reading labels: the three kinds of VOC labels, folders and tables, and the choice of photos."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.drawn_photos import KINDS, tiny_recipe, write_csv, write_folders
from training.labels import read_splits
from weakseg.errors import DataError
from weakseg.voc import VOC_CLASSES

SHOWN = {"one": ("cat",), "two": ("dog", "person"), "three": ("horse",)}
SPLITS = {"train": ("one", "two"), "val": ("three", "two")}


def write_voc_lists(root: Path, kind: str = "Segmentation") -> Path:
    base = root / "VOCdevkit" / "VOC2012"
    (base / "ImageSets" / kind).mkdir(parents=True)
    (base / "JPEGImages").mkdir()
    for name in SHOWN:
        (base / "JPEGImages" / f"{name}.jpg").touch()
    for split, names in SPLITS.items():
        (base / "ImageSets" / kind / f"{split}.txt").write_text("\n".join(names) + "\n")
    return base


def write_labels(base: Path, how: str) -> None:
    if how == "list":
        (base / "image_labels.txt").write_text("".join(f"{name} {' '.join(shown)}\n" for name, shown in SHOWN.items()))
    elif how == "xml":
        (base / "Annotations").mkdir()
        for name, shown in SHOWN.items():
            objects = "".join(f"<object><name>{label}</name></object>" for label in (*shown, shown[0]))
            (base / "Annotations" / f"{name}.xml").write_text(f"<annotation>{objects}</annotation>")
    else:
        (base / "ImageSets" / "Main").mkdir(exist_ok=True)
        for label in VOC_CLASSES:
            for split, names in SPLITS.items():
                rows = [f"{name} {' 1' if label in SHOWN[name] else '-1'}\n" for name in names]
                (base / "ImageSets" / "Main" / f"{label}_{split}.txt").write_text("".join(rows))


@pytest.mark.parametrize("how", ["list", "xml", "main"])
def test_voc_labels_are_the_same_from_all_three_sources(tmp_path: Path, how: str) -> None:
    base = write_voc_lists(tmp_path)
    write_labels(base, how)
    splits = read_splits(tmp_path, tiny_recipe())
    assert [(photo.path.name, photo.labels) for photo in splits.train] == [
        ("one.jpg", ("cat",)),
        ("two.jpg", ("dog", "person")),
    ]
    assert [photo.labels for photo in splits.val] == [("horse",), ("dog", "person")]
    assert splits.classes == VOC_CLASSES
    assert splits.description["layout"] == "voc"
    assert read_splits(base, tiny_recipe()).train == splits.train


def test_a_single_label_training_takes_photos_of_exactly_one_class_and_says_so(tmp_path: Path) -> None:
    write_labels(write_voc_lists(tmp_path), "list")
    splits = read_splits(tmp_path, tiny_recipe(task="single_label"))
    assert [photo.labels for photo in splits.train] == [("cat",)]
    assert splits.remarks[0].startswith("train: 1 of 2 photos show exactly one class")
    assert splits.description["remarks"] == list(splits.remarks)


def test_folders_with_splits(tmp_path: Path) -> None:
    splits = read_splits(write_folders(tmp_path, 2), tiny_recipe())
    assert splits.classes == KINDS
    assert (len(splits.train), len(splits.val)) == (6, 6)
    assert all(photo.path.parent.name == photo.labels[0] for photo in splits.train)


def test_folders_without_splits_hold_out_a_share_that_more_photos_do_not_change(tmp_path: Path) -> None:
    root = write_folders(tmp_path, 12, splits=("all",)) / "all"
    recipe = tiny_recipe(held_out=0.3)
    before = read_splits(root, recipe)
    assert len(before.train) + len(before.val) == 36
    assert 3 <= len(before.val) <= 20
    for number in range(5):
        (root / "disc" / f"more{number}.png").write_bytes((root / "disc" / "0.png").read_bytes())
    after = read_splits(root, recipe)
    assert set(before.val) <= set(after.val)
    assert set(before.train) <= set(after.train)


def test_a_table_with_several_labels_and_splits(tmp_path: Path) -> None:
    splits = read_splits(write_csv(tmp_path), tiny_recipe())
    assert splits.classes == KINDS
    assert splits.train[0].labels == ("disc", "star")
    assert splits.train[0].path == tmp_path / "photos" / "train0.png"
    assert (len(splits.train), len(splits.val)) == (12, 12)


def test_a_table_of_a_spreadsheet_without_splits(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    rows = "".join(f"{number}.png, cat ;dog\r\n" for number in range(40))
    for number in range(40):
        (tmp_path / f"{number}.png").touch()
    table.write_bytes(b"\xef\xbb\xbf" + f"path,labels\r\n{rows}".encode())
    splits = read_splits(table, tiny_recipe())
    assert splits.train[0].labels == ("cat", "dog")
    assert len(splits.train) + len(splits.val) == 40


def test_a_table_with_absolute_paths_and_no_splits(tmp_path: Path) -> None:
    lines = ["path,labels"]
    for number in range(40):
        (tmp_path / f"{number}.png").touch()
        lines.append(f"{tmp_path / f'{number}.png'},{('cat', 'dog')[number % 2]}")
    (tmp_path / "tables").mkdir()
    table = tmp_path / "tables" / "labels.csv"
    table.write_text("\n".join(lines) + "\n")
    splits = read_splits(table, tiny_recipe(held_out=0.3))
    assert splits.val
    assert {photo.path for photo in (*splits.train, *splits.val)} == {tmp_path / f"{n}.png" for n in range(40)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"path,labels\na.png,cat\n\n,dog\n", r"labels\.csv, line 4: no path"),
        (b"labels,path\ncat,a.png\ndog\n", r"labels\.csv, line 3: no path, or fewer columns"),
        (b"path,labels\na.png\n", r"line 2: no path, or fewer columns"),
        (b"path,labels,split\na.png,cat\n", r"line 2: no path, or fewer columns"),
        (b"path,labels\n\xe9.png,cat\n", r"cannot be read as a table: .* Save it as CSV in UTF-8"),
        (b"path,labels\n" + b"a" * 200_000 + b",cat\n", r"cannot be read as a table: field larger"),
    ],
)
def test_a_broken_table_is_refused_with_its_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_splits(tmp_path / "labels.csv", tiny_recipe())


def test_a_limit_takes_the_same_photos_every_time(tmp_path: Path) -> None:
    root = write_folders(tmp_path, 4)
    first, second = (read_splits(root, tiny_recipe(limit=5)) for _ in range(2))
    assert len(first.train) == len(first.val) == 5
    assert first == second


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    recipe = tiny_recipe()
    with pytest.raises(DataError, match=r"does not exist\. Give VOC's folder"):
        read_splits(tmp_path / "nowhere", recipe)
    base = write_voc_lists(tmp_path)
    with pytest.raises(DataError, match=r"has no labels: no image_labels\.txt, no Annotations"):
        read_splits(tmp_path, recipe)
    (base / "image_labels.txt").write_text("one cat\n")
    with pytest.raises(DataError, match=r"has no labels for two \(1 such\)"):
        read_splits(tmp_path, recipe)
    with pytest.raises(DataError, match="No split 'test'"):
        read_splits(tmp_path, tiny_recipe(train_split="test"))
    (base / "image_labels.txt").write_text("one cat\ntwo dog\nthree horse\n")
    (base / "JPEGImages" / "two.jpg").unlink()
    with pytest.raises(DataError, match=r"1 photos for train are missing, first .*two\.jpg"):
        read_splits(tmp_path, recipe)
    table = tmp_path / "labels.csv"
    table.write_text("file,labels\n")
    with pytest.raises(DataError, match="has no column 'path'"):
        read_splits(table, recipe)


def test_labels_that_are_no_class_and_too_few_classes_are_refused(tmp_path: Path) -> None:
    root = write_folders(tmp_path, 1)
    with pytest.raises(DataError, match="has the label 'triangle', which is none of the classes disc, star"):
        read_splits(root, tiny_recipe(classes=("disc", "star")))
    table = tmp_path / "labels.csv"
    table.write_text("path,labels,split\na.png,cat,train\nb.png,cat,val\n")
    with pytest.raises(DataError, match="has 1 classes; a training needs two"):
        read_splits(table, tiny_recipe())


@pytest.mark.real_data
def test_the_shared_voc_photos(voc_folder: Path) -> None:
    several, single = (read_splits(voc_folder, tiny_recipe(task=task)) for task in ("multi_label", "single_label"))
    assert (len(several.train), len(several.val)) == (3131, 222)
    assert (len(single.train), len(single.val)) == (2233, 157)
    assert several.train[0].labels == ("chair", "dog")
