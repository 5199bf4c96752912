"""Which photos with masks there are: VOC's layout, folders of images and masks; what is made from photos alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.labels import PHOTO_SUFFIXES, limit_photos
from training.masks.coding import BACKGROUND, VOID_NAME, Coding, LabelMap, code_colours, code_values, read_values
from training.masks.layout import IMAGES, MASKS, MaskedSplits, describe, list_files, name_below, read_list, split_names
from training.masks.made import read_pasted, read_white
from training.masks.sources import FileSource, Kept, MaskedPhoto
from training.recipe import Recipe
from weakseg.errors import DataError
from weakseg.evaluation.voc import YEAR_FOLDER
from weakseg.models.state import hash_file
from weakseg.voc import VOC_CLASSES, VOID

MASK_SUFFIXES = {".png", ".ppm", ".pgm", ".bmp", ".tif", ".tiff"}


@dataclass(frozen=True, slots=True)
class Pair:
    """A photo and the file of its mask; whether both exist is not yet known."""

    path: Path
    mask: Path


Pairs = tuple[Sequence[Pair], Sequence[Pair]]  # train, val


def read_masked_splits(root: Path, recipe: Recipe) -> MaskedSplits:
    """The photos with masks of a data set, as the recipe wants them.

    Args:
        root: ``voc_masks``: holds VOCdevkit/VOC2012, or is that folder. ``masks``: holds folders ``images`` and
            ``masks`` with files of equal names, and, if wanted, ``train.txt`` and ``val.txt`` with a name a line.
            ``white`` and ``pasted``: see `training.masks.made`.
    Raises:
        DataError: what is missing, and where; what the recipe does not say.
    """
    layout = _recognise(root) if recipe.format == "auto" else recipe.format
    if layout not in _READERS:
        raise DataError(f"format = {layout!r} has no masks. With task=pixels it is one of {', '.join(_READERS)}.")
    return _READERS[layout](root, recipe)


def _recognise(root: Path) -> str:
    if any((folder / "ImageSets").is_dir() for folder in (root, root / YEAR_FOLDER)):
        return "voc_masks"
    if (root / IMAGES).is_dir():
        return "masks"
    raise DataError(
        f"{root} has neither ImageSets (VOC) nor a folder {IMAGES!r}. Give such a folder, or say format=white for "
        "photos on a white background."
    )


def _read_voc(root: Path, recipe: Recipe) -> MaskedSplits:
    base = root / YEAR_FOLDER if (root / YEAR_FOLDER).is_dir() else root
    pairs = tuple(
        [Pair(base / "JPEGImages" / f"{name}.jpg", masks / f"{name}.png") for name in read_list(path)]
        for path, masks in zip(
            (base / "ImageSets/Segmentation" / f"{split}.txt" for split in (recipe.train_split, recipe.val_split)),
            _masks_folders(base / "SegmentationClass", recipe),
            strict=True,
        )
    )
    classes = recipe.classes or VOC_CLASSES
    meanings = _invert(recipe.mask_values) or dict(enumerate(VOC_CLASSES, 1))
    _check_classes(classes, set(meanings.values()))
    return _build(pairs, classes, code_values(meanings, classes, recipe.other_classes), root, recipe, "voc_masks")


def _read_folders(root: Path, recipe: Recipe) -> MaskedSplits:
    of_train, of_val = (_pair_up(root / IMAGES, masks) for masks in _masks_folders(root / MASKS, recipe))
    pairs = (split_names(root, of_train, recipe)[0], split_names(root, of_val, recipe)[1])
    classes, coding = _choose_coding(pairs, recipe)
    return _build(pairs, classes, coding, root, recipe, "masks")


def _pair_up(images: Path, masks: Path) -> dict[str, Pair]:
    """Name (path below the folder, without suffix) to the pair. Where there is no mask, one that does not exist."""
    files = {name_below(masks, path): path for path in list_files(masks, MASK_SUFFIXES)}
    names = {name_below(images, path): path for path in list_files(images, PHOTO_SUFFIXES)}
    return {name: Pair(path, files.get(name, masks / f"{name}.png")) for name, path in names.items()}


def _masks_folders(own: Path, recipe: Recipe) -> tuple[Path, Path]:
    """Of train and of val. Those of ``masks_dir`` are to learn from: where there are own ones, they stay the truth."""
    learned = own if recipe.masks_dir is None else Path(recipe.masks_dir)
    if not learned.is_dir():
        raise DataError(f"There are no masks: {learned} is no folder. Say masks_dir=FOLDER where they are.")
    return learned, own if own.is_dir() else learned


def _choose_coding(pairs: Pairs, recipe: Recipe) -> tuple[tuple[str, ...], Coding]:
    others = recipe.other_classes
    if recipe.mask_colours is not None:
        classes = recipe.classes or _foreground(recipe.mask_colours)
        _check_classes(classes, set(recipe.mask_colours))
        return classes, code_colours(recipe.mask_colours, classes, others)
    meanings = _invert(recipe.mask_values) or _guess_values(pairs, recipe)
    classes = recipe.classes or _foreground(meanings.values())
    _check_classes(classes, set(meanings.values()))
    return classes, code_values(meanings, classes, others)


def _guess_values(pairs: Pairs, recipe: Recipe) -> dict[int, str]:
    """1 to C in the order of the classes; 255 where there is one class, and masks hold nothing else but 0.

    Raises:
        DataError: no class is named, or several where masks hold no value of theirs.
    """
    if not recipe.classes:
        raise DataError("Say which classes the masks hold: classes=[hair], or mask_values={hair: 255}.")
    if _are_two_valued(pairs):
        if len(recipe.classes) > 1:
            raise DataError(
                f"classes names {', '.join(recipe.classes)}, but all masks hold 0 and 255 alone, and with several "
                "classes 255 is void: there is nothing to learn. Name one class, or say what values mean: "
                "mask_values={hair: 255}."
            )
        return {VOID: recipe.classes[0]}
    return dict(enumerate(recipe.classes, 1))


def _are_two_valued(pairs: Pairs) -> bool:
    masks = (pair.mask for part in pairs for pair in part if pair.mask.is_file())
    return not any(_has_other_values(read_values(mask)) for mask in masks)


def _has_other_values(values: LabelMap) -> bool:
    return bool(((values != 0) & (values != VOID)).any())


def _invert(values: dict[str, int] | None) -> dict[int, str]:
    return {value: name for name, value in (values or {}).items()}


def _foreground(names: Any) -> tuple[str, ...]:
    return tuple(name for name in names if name not in (BACKGROUND, VOID_NAME))


def _check_classes(classes: Sequence[str], known: set[str]) -> None:
    unknown = [name for name in classes if name not in known]
    if unknown:
        raise DataError(f"classes has {unknown[0]!r}, which no mask holds. They hold {', '.join(sorted(known))}.")
    if not classes:
        raise DataError("There is no class but the background. Name one in classes.")


def _build(
    pairs: Pairs, classes: tuple[str, ...], coding: Coding, root: Path, recipe: Recipe, layout: str
) -> MaskedSplits:
    source = Kept(FileSource(coding)) if recipe.cache else FileSource(coding)
    parts = []
    for name, part in zip(("train", "val"), pairs, strict=True):
        chosen = limit_photos(tuple(part), recipe)
        _check_files(chosen, name, root)
        parts.append(tuple(MaskedPhoto(pair.path, pair.mask, source) for pair in chosen))
    train, val = parts
    marks = [f"{photo.path.name}:{hash_file(photo.mask)}" for photo in (*train, *val) if photo.mask is not None]
    return MaskedSplits(train, val, classes, describe(layout, root, len(train), len(val), marks))


def _check_files(pairs: Sequence[Pair], name: str, root: Path) -> None:
    if not pairs:
        raise DataError(f"{root} has no photos for {name}.")
    for what in ("path", "mask"):
        missing = [getattr(pair, what) for pair in pairs if not getattr(pair, what).is_file()]
        if missing:
            kind = "photos" if what == "path" else "masks"
            raise DataError(f"{len(missing)} of {len(pairs)} {kind} for {name} are missing, first {missing[0]}.")


_READERS: dict[str, Callable[[Path, Recipe], MaskedSplits]] = {
    "voc_masks": _read_voc,
    "masks": _read_folders,
    "white": read_white,
    "pasted": read_pasted,
}
