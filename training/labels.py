"""Which photos there are and what they show: VOC's layout, a folder per class, or a CSV file."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar
from xml.etree import ElementTree

import numpy as np

from training.recipe import Recipe
from weakseg.errors import DataError
from weakseg.evaluation.voc import YEAR_FOLDER
from weakseg.voc import VOC_CLASSES

Item = TypeVar("Item")

PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo, not yet read, and the names of what it shows."""

    path: Path
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Splits:
    """The photos to learn from and those to measure on."""

    train: tuple[Photo, ...]
    val: tuple[Photo, ...]
    classes: tuple[str, ...]
    description: dict[str, Any]  # plain values, for the checkpoint
    remarks: tuple[str, ...] = ()  # what a person should know about the choice


def read_splits(root: Path, recipe: Recipe) -> Splits:
    """The photos of a data set, as the recipe wants them.

    Args:
        root: ``voc``: holds VOCdevkit/VOC2012, or is that folder. ``folders``: holds a folder per class, or ``train``
            and ``val`` folders that do. ``csv``: a file with columns ``path,labels`` (labels separated by ";", paths
            relative to the file) and, if wanted, ``split``.
    Raises:
        DataError: what is missing, and where.
    """
    layout = _recognise(root) if recipe.format == "auto" else recipe.format
    if layout not in _READERS:
        raise DataError(f"format = {layout!r} has masks, not labels of photos: set task=pixels, or another format.")
    train, val = _READERS[layout](root, recipe)
    found = sorted({label for photo in (*train, *val) for label in photo.labels})
    classes = recipe.classes or (VOC_CLASSES if layout == "voc" else tuple(found))
    _check_labels(found, classes, root)
    splits = Splits(tuple(train), tuple(val), classes, {})
    if not recipe.multi_label:
        splits = _keep_single(splits)
    splits = replace(splits, train=limit_photos(splits.train, recipe), val=limit_photos(splits.val, recipe))
    for name, photos in (("train", splits.train), ("val", splits.val)):
        if not photos:
            raise DataError(f"{root} has no photos for {name}.")
        missing = [photo.path for photo in photos if not photo.path.is_file()]
        if missing:
            raise DataError(f"{len(missing)} photos for {name} are missing, first {missing[0]}.")
    return replace(splits, description=_describe(splits, layout, root))


def _recognise(root: Path) -> str:
    if root.is_file():
        return "csv"
    if any((folder / "ImageSets").is_dir() for folder in (root, root / YEAR_FOLDER)):
        return "voc"
    if root.is_dir():
        return "folders"
    raise DataError(f"{root} does not exist. Give VOC's folder, a folder with one folder per class, or a CSV file.")


def _read_voc(root: Path, recipe: Recipe) -> tuple[list[Photo], list[Photo]]:
    base = root / YEAR_FOLDER if (root / YEAR_FOLDER).is_dir() else root
    return _read_voc_split(base, recipe.train_split), _read_voc_split(base, recipe.val_split)


def _read_voc_split(base: Path, split: str) -> list[Photo]:
    lists = [base / "ImageSets" / kind / f"{split}.txt" for kind in ("Main", "Segmentation")]  # Main has more photos
    found = next((path for path in lists if path.is_file()), None)
    if found is None:
        raise DataError(f"No split {split!r}: neither {lists[0]} nor {lists[1]} exists.")
    names = list(dict.fromkeys(line.split()[0] for line in found.read_text(encoding="utf-8").splitlines() if line))
    labels = _voc_labels(base, split, names)
    return [Photo(base / "JPEGImages" / f"{name}.jpg", labels[name]) for name in names]


def _voc_labels(base: Path, split: str, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    if (base / "image_labels.txt").is_file():
        rows = [line.split() for line in (base / "image_labels.txt").read_text(encoding="utf-8").splitlines()]
        known = {row[0]: tuple(row[1:]) for row in rows if row}
        missing = [name for name in names if name not in known]
        if missing:
            raise DataError(f"{base / 'image_labels.txt'} has no labels for {missing[0]} ({len(missing)} such).")
        return {name: known[name] for name in names}
    if (base / "Annotations").is_dir():
        return {name: _read_annotation(base / "Annotations" / f"{name}.xml") for name in names}
    return _read_main(base / "ImageSets" / "Main", split, names)


def _read_annotation(path: Path) -> tuple[str, ...]:
    try:
        objects = ElementTree.parse(path).getroot().iter("object")
        return tuple(sorted({item.findtext("name", "") for item in objects}))
    except (OSError, ElementTree.ParseError) as error:
        raise DataError(f"{path} is not a VOC annotation: {error}.") from error


def _read_main(folder: Path, split: str, names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """``CLASS_SPLIT.txt``: a photo and 1 (shown), 0 (only hard to see: counts as shown, as in XML) or -1 a line."""
    shown: dict[str, list[str]] = {name: [] for name in names}
    for label in VOC_CLASSES:
        path = folder / f"{label}_{split}.txt"
        if not path.is_file():
            raise DataError(f"{folder.parents[1]} has no labels: no image_labels.txt, no Annotations, and no {path}.")
        for line in path.read_text(encoding="utf-8").splitlines():
            name, _, flag = line.partition(" ")
            if name in shown and flag.strip() != "-1":
                shown[name].append(label)
    return {name: tuple(labels) for name, labels in shown.items()}


def _read_folders(root: Path, recipe: Recipe) -> tuple[list[Photo], list[Photo]]:
    if (root / recipe.train_split).is_dir() and (root / recipe.val_split).is_dir():
        return list(_walk(root / recipe.train_split)), list(_walk(root / recipe.val_split))
    photos = list(_walk(root))
    return hold_out(photos, [str(photo.path.relative_to(root)) for photo in photos], recipe.held_out)


def _walk(root: Path) -> Iterator[Photo]:
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        photos = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PHOTO_SUFFIXES)
        yield from (Photo(path, (folder.name,)) for path in photos)


def _read_csv(path: Path, recipe: Recipe) -> tuple[list[Photo], list[Photo]]:
    columns, rows = _read_rows(path)
    missing = {"path", "labels"} - columns
    if missing:
        raise DataError(f"{path} has no column {sorted(missing)[0]!r}. Its first line must name path,labels[,split].")
    photos = [_photo_of(row, path, line) for line, row in rows]
    if "split" not in columns:
        return hold_out(photos, [row["path"] for _, row in rows], recipe.held_out)
    splits = [row["split"] for _, row in rows]
    train, val = (
        [photo for photo, split in zip(photos, splits, strict=True) if split == name]
        for name in (recipe.train_split, recipe.val_split)
    )
    return train, val


def _read_rows(path: Path) -> tuple[set[str], list[tuple[int, dict[str, str]]]]:
    """Column names, and the rows with the numbers of their (last) lines, from 1."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            rows = [(reader.line_num, row) for row in reader]
            return set(reader.fieldnames or ()), rows
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a table: {error}. Save it as CSV in UTF-8.") from error


def _photo_of(row: dict[str, str], table: Path, line: int) -> Photo:
    if None in row.values() or not row["path"]:  # None: the csv module's sign for a row that ends too early
        raise DataError(f"{table}, line {line}: no path, or fewer columns than the first line names.")
    labels = tuple(label.strip() for label in row["labels"].split(";") if label.strip())
    return Photo(table.parent / row["path"], labels)


def hold_out(photos: Sequence[Item], names: Sequence[str], share: float) -> tuple[list[Item], list[Item]]:
    """Train and val by a hash of each photo's name: adding photos moves none from one to the other."""
    marks = [fraction(name) < share for name in names]
    train = [photo for photo, held in zip(photos, marks, strict=True) if not held]
    return train, [photo for photo, held in zip(photos, marks, strict=True) if held]


def fraction(text: str) -> float:
    """A number in [0, 1) that looks random and depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6]) / 2**48


def _keep_single(splits: Splits) -> Splits:
    """Photos with exactly one class: a softmax has one right answer."""
    remarks: list[str] = []
    kept: dict[str, Any] = {}
    for name in ("train", "val"):
        photos: tuple[Photo, ...] = getattr(splits, name)
        kept[name] = tuple(photo for photo in photos if len(photo.labels) == 1)
        if len(kept[name]) < len(photos):
            remarks.append(
                f"{name}: {len(kept[name])} of {len(photos)} photos show exactly one class; a single-label training "
                "leaves out the others."
            )
    return replace(splits, remarks=tuple(remarks), **kept)


def limit_photos(photos: tuple[Item, ...], recipe: Recipe) -> tuple[Item, ...]:
    """As many as ``recipe.limit`` wants, in their order, chosen by its seed."""
    if recipe.limit is None or recipe.limit >= len(photos):
        return photos
    picked = np.random.default_rng(recipe.seed).permutation(len(photos))[: recipe.limit]
    return tuple(photos[index] for index in sorted(picked))


def _check_labels(found: Sequence[str], classes: Sequence[str], root: Path) -> None:
    unknown = [label for label in found if label not in classes]
    if unknown:
        raise DataError(f"{root} has the label {unknown[0]!r}, which is none of the classes {', '.join(classes)}.")
    if len(classes) < 2:
        raise DataError(f"{root} has {len(classes)} classes; a training needs two or more.")


def _describe(splits: Splits, layout: str, root: Path) -> dict[str, Any]:
    digest = hashlib.sha256()
    for photo in (*splits.train, *splits.val):
        digest.update(f"{photo.path.name}:{';'.join(photo.labels)}\n".encode())
    return {
        "layout": layout,
        "root": str(root),
        "train": len(splits.train),
        "val": len(splits.val),
        "labels_sha256": digest.hexdigest(),
        "remarks": list(splits.remarks),
    }


_READERS: dict[str, Callable[[Path, Recipe], tuple[list[Photo], list[Photo]]]] = {
    "voc": _read_voc,
    "folders": _read_folders,
    "csv": _read_csv,
}
