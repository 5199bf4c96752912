"""Folders of photos: finding files, and sharing them out to train and val."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.labels import PHOTO_SUFFIXES, Item, hold_out
from training.masks.sources import MaskedPhoto
from training.recipe import Recipe
from weakseg.errors import DataError
from weakseg.evaluation.voc import YEAR_FOLDER

IMAGES, MASKS = "images", "masks"


@dataclass(frozen=True, slots=True)
class MaskedSplits:
    """The photos to learn from and those to measure on, with their masks."""

    train: tuple[MaskedPhoto, ...]
    val: tuple[MaskedPhoto, ...]
    classes: tuple[str, ...]  # C foreground classes: class c is c + 1 in the targets
    description: dict[str, Any]  # plain values, for the checkpoint
    remarks: tuple[str, ...] = ()  # what a person should know about the choice


def list_files(folder: Path, suffixes: set[str]) -> list[Path]:
    """All files below a folder with one of these suffixes, sorted. Raises: DataError if there is no such folder."""
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder.")
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes)


def list_photos(root: Path) -> dict[str, Path]:
    """Name to path of the photos of a folder, of its ``images`` or ``JPEGImages``, or of VOC's.

    Raises:
        DataError: there is no such folder, or no photo in it.
    """
    candidates = (root / YEAR_FOLDER / "JPEGImages", root / "JPEGImages", root / IMAGES)
    folder = next((path for path in candidates if path.is_dir()), root)
    photos = {name_below(folder, path): path for path in list_files(folder, PHOTO_SUFFIXES)}
    if not photos:
        raise DataError(f"{folder} holds no photos ({', '.join(sorted(PHOTO_SUFFIXES))}).")
    return photos


def name_below(folder: Path, path: Path) -> str:
    """The path below a folder, without suffix: what lists name, and what a photo and its mask have in common."""
    return path.relative_to(folder).with_suffix("").as_posix()


def split_names(root: Path, found: Mapping[str, Item], recipe: Recipe) -> tuple[list[Item], list[Item]]:
    """Train and val.

    By ``train.txt`` and ``val.txt`` (named as the recipe's splits) where both exist, else by a hash of the name.
    """
    lists = [root / f"{split}.txt" for split in (recipe.train_split, recipe.val_split)]
    if not all(path.is_file() for path in lists):
        return hold_out(list(found.values()), list(found), recipe.held_out)
    train, val = (list(dict.fromkeys(_look_up(line, found, path) for line in _read_lines(path))) for path in lists)
    return [found[name] for name in train], [found[name] for name in val]


def _look_up(line: str, found: Mapping[str, Item], listed: Path) -> str:
    """The photo's name: all of the line, as names may have spaces, or its first word; with or without suffix."""
    for name in (line, line.split()[0]):
        for known in (name, Path(name).with_suffix("").as_posix()):
            if known in found:
                return known
    raise DataError(f"{listed} names {line!r}, but there is no such photo beside it.")


def read_list(path: Path) -> list[str]:
    """The first word of every line, each once. Raises: DataError if there is no such file."""
    if not path.is_file():
        raise DataError(f"No split {path.stem!r}: {path} does not exist.")
    return list(dict.fromkeys(line.split()[0] for line in _read_lines(path)))


def _read_lines(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def describe(layout: str, root: Path, train: int, val: int, marks: Sequence[str]) -> dict[str, Any]:
    """What a checkpoint says of its data; marks: a line for each photo that changes when its mask does."""
    return {
        "layout": layout,
        "root": str(root),
        "train": train,
        "val": val,
        "labels_sha256": hashlib.sha256("\n".join(marks).encode()).hexdigest(),
        "remarks": [],
    }
