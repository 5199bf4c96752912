"""Data sets of images and masks on disk, made from photos of objects on white: what ``format: masks`` reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from training.labels import hold_out
from training.masks.layout import IMAGES, MASKS, list_photos
from training.masks.made import PasteSource, WhiteSource, split_scenes
from training.masks.paste import PasteSettings
from training.masks.sources import Masked, MaskedPhoto
from training.masks.white import WhiteSettings
from training.photos import mix
from weakseg.errors import DataError
from weakseg.types import Rgb
from weakseg.voc import VOID

JPEG_QUALITY = 95
SPLITS = ("train", "val")


@dataclass(frozen=True, slots=True)
class Entry:
    """One photo that is to be written."""

    split: str
    name: str  # below ``images`` and ``masks``, without suffix
    masked: Masked


def plan_white(photos: Path, settings: WhiteSettings, held_out: float) -> tuple[int, Iterator[Entry]]:
    """Photos on a plain background, with masks.

    Args:
        photos: Folder, searched with all that is below it.
        held_out: Share of the photos for ``val``, chosen by a hash of their names.
    Returns:
        How many there are; and each, made when it is asked for.
    Raises:
        DataError: no photos; also while they are made, naming the file.
    """
    found = list_photos(photos)
    train, val = hold_out(list(found), list(found), held_out)
    source = WhiteSource(settings)
    names = [*((name, "train") for name in train), *((name, "val") for name in val)]
    entries = (Entry(split, name, MaskedPhoto(found[name], None, source).read()) for name, split in names)
    return len(names), entries


def plan_pasted(
    objects: Path, scenes: Path, count: int, white: WhiteSettings, how: PasteSettings, held_out: float, seed: int
) -> tuple[int, Iterator[Entry]]:
    """``count`` scenes with pasted objects, a share of which is for ``val``: unseen objects on unseen scenes.

    Every object comes equally often, up to one. Returns and raises as `plan_white`.
    """
    found = list_photos(objects)
    pools = dict(zip(SPLITS, hold_out(list(found.values()), list(found), held_out), strict=True))
    empty = [split for split in SPLITS if not pools[split]]
    if empty:
        raise DataError(f"{objects} has {len(found)} photos, too few for {empty[0]} with a share of {held_out}.")
    backgrounds = dict(zip(SPLITS, split_scenes(scenes, held_out), strict=True))
    sources = {split: PasteSource(pools[split], backgrounds[split], white, how) for split in SPLITS}
    held = min(count - 1, max(1, round(count * held_out)))
    amounts = {"train": count - held, "val": held}
    return count, _compose(pools, sources, amounts, seed)


def _compose(
    pools: Mapping[str, Sequence[Path]], sources: Mapping[str, PasteSource], amounts: Mapping[str, int], seed: int
) -> Iterator[Entry]:
    for part, split in enumerate(SPLITS):
        order = np.random.default_rng([seed, part]).permutation(len(pools[split]))
        for number in range(amounts[split]):
            first = pools[split][order[number % len(order)]]
            rng = np.random.default_rng(mix(seed, part, number))
            yield Entry(split, f"{split}_{number:05d}", sources[split].compose(first, rng))


def write_data_set(entries: Iterable[Entry], folder: Path) -> None:
    """``images/NAME.jpg``, ``masks/NAME.png`` (0 and 255), ``train.txt`` and ``val.txt``.

    Raises:
        DataError: the folder holds something already; an entry cannot be made.
    """
    if folder.exists() and any(folder.iterdir()):
        raise DataError(f"{folder} is not empty. Choose another folder, or delete it.")
    names: dict[str, list[str]] = {split: [] for split in SPLITS}
    for entry in entries:
        _write(entry.masked.rgb, folder / IMAGES / f"{entry.name}.jpg")
        _write(np.where(entry.masked.targets > 0, VOID, 0).astype(np.uint8), folder / MASKS / f"{entry.name}.png")
        names[entry.split].append(entry.name)
    for split, written in names.items():
        (folder / f"{split}.txt").write_text("".join(f"{name}\n" for name in written), encoding="utf-8")


def _write(pixels: Rgb, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        Image.fromarray(pixels).save(path, optimize=True)
    else:
        Image.fromarray(pixels).save(path, quality=JPEG_QUALITY, subsampling=0)
