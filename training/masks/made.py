"""Photos whose masks are made: objects on a white background, as they are or pasted on photos of scenes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from training.labels import hold_out, limit_photos
from training.masks.layout import MaskedSplits, describe, list_photos, split_names
from training.masks.paste import PasteSettings, paste, trim
from training.masks.sources import Kept, Masked, MaskedPhoto
from training.masks.white import Cutout, WhiteSettings, cut_out, mask_white
from training.photos import read_pixels
from training.recipe import Recipe
from weakseg.errors import DataError

DEFAULT_CLASS = "object"


class WhiteSource:
    """Masks out of a plain background."""

    def __init__(self, settings: WhiteSettings) -> None:
        self.settings = settings

    def read(self, photo: MaskedPhoto, seed: int | None) -> Masked:  # noqa: ARG002 - nothing is random
        rgb = read_pixels(photo.path)
        mask = mask_white(rgb, self.settings)
        if not mask.any():
            raise DataError(f"{photo.path}: there is nothing but background in the photo. Lower white_threshold?")
        return Masked(rgb, mask.astype(np.uint8))

    def warm(self, photo: MaskedPhoto) -> None:
        """Nothing is kept."""


class PasteSource:
    """The object of a photo, cut out and pasted on a scene, with others beside it where the settings ask for more.

    Without a seed, the scene depends on the photo's name. Cut-out objects stay in memory, scenes do not.
    """

    def __init__(
        self, objects: Sequence[Path], scenes: Sequence[Path], white: WhiteSettings, how: PasteSettings
    ) -> None:
        self.objects, self.scenes = objects, scenes
        self.white, self.how = white, how
        self._known: dict[Path, Cutout] = {}

    def read(self, photo: MaskedPhoto, seed: int | None) -> Masked:
        rng = np.random.default_rng(_seed_of(photo.path) if seed is None else seed)
        return self.compose(photo.path, rng)

    def compose(self, first: Path, rng: np.random.Generator) -> Masked:
        """A scene with the object of this photo; the objects beside it, and the scene, are drawn."""
        low, high = self.how.objects
        count = int(rng.integers(low, high + 1))
        others = [self.objects[index] for index in rng.integers(0, len(self.objects), max(0, count - 1))]
        scene = read_pixels(self.scenes[int(rng.integers(len(self.scenes)))])
        return paste(scene, [self._cut_out(path) for path in [first, *others][:count]], rng, self.how)

    def warm(self, photo: MaskedPhoto) -> None:
        self._cut_out(photo.path)

    def _cut_out(self, path: Path) -> Cutout:
        if path not in self._known:
            try:
                self._known[path] = trim(cut_out(read_pixels(path), self.white))
            except DataError as error:
                raise DataError(f"{path}: {error}") from error
        return self._known[path]


def read_white(root: Path, recipe: Recipe) -> MaskedSplits:
    """Photos of one kind of object on a plain background: a folder, or its folder ``images``; lists as for masks."""
    source = WhiteSource(white_settings(recipe))
    train, val = split_names(root, list_photos(root), recipe)
    return _build(train, val, lambda _: Kept(source) if recipe.cache else source, root, recipe)


def read_pasted(root: Path, recipe: Recipe) -> MaskedSplits:
    """Such photos, pasted on those of the folder ``recipe.backgrounds``: val has unseen objects on unseen scenes."""
    if recipe.backgrounds is None:
        raise DataError("format = 'pasted' needs a folder of photos to paste on: backgrounds=FOLDER.")
    objects = split_names(root, list_photos(root), recipe)
    scenes = dict(zip(("train", "val"), split_scenes(Path(recipe.backgrounds), recipe.held_out), strict=True))
    pools = dict(zip(("train", "val"), objects, strict=True))
    white, how = white_settings(recipe), paste_settings(recipe)
    sources = {part: PasteSource(pools[part], scenes[part], white, how) for part in pools}
    splits = _build(*objects, lambda part: sources[part], root, recipe)
    drawn_from = [*pools.values(), *scenes.values()]  # beyond the photos that are counted
    marks = [splits.description["labels_sha256"], *(_mark(path) for paths in drawn_from for path in paths)]
    return replace(splits, description=describe(recipe.format, root, len(splits.train), len(splits.val), marks))


def split_scenes(folder: Path, share: float) -> tuple[list[Path], list[Path]]:
    """Photos to paste on for train and for val, by a hash of their names."""
    found = list_photos(folder)
    parts = hold_out(list(found.values()), list(found), share)
    if not all(parts):
        raise DataError(f"{folder} has {len(found)} photos, too few to hold out a share of {share} for val.")
    return parts


def white_settings(recipe: Recipe) -> WhiteSettings:
    return WhiteSettings(recipe.white_threshold, recipe.white_holes, recipe.white_specks, recipe.white_shadows)


def paste_settings(recipe: Recipe) -> PasteSettings:
    return PasteSettings(
        recipe.paste_objects, recipe.paste_size, recipe.paste_turn, recipe.paste_outside, recipe.paste_light
    )


def _build(
    train: Sequence[Path],
    val: Sequence[Path],
    source_of: Callable[[str], WhiteSource | Kept | PasteSource],
    root: Path,
    recipe: Recipe,
) -> MaskedSplits:
    parts = {}
    for name, paths in (("train", train), ("val", val)):
        chosen = limit_photos(tuple(paths), recipe)
        if not chosen:
            raise DataError(f"{root} has no photos for {name}.")
        source = source_of(name)
        parts[name] = tuple(MaskedPhoto(path, None, source) for path in chosen)
    classes = recipe.classes or (DEFAULT_CLASS,)
    if len(classes) != 1:
        raise DataError(f"classes = {list(classes)}: photos on white show one class, such as classes=[shoe].")
    marks = [_mark(photo.path) for part in parts.values() for photo in part]
    description = describe(recipe.format, root, len(parts["train"]), len(parts["val"]), marks)
    return MaskedSplits(parts["train"], parts["val"], classes, description)


def _mark(path: Path) -> str:
    return f"{path.name}:{path.stat().st_size}"


def _seed_of(path: Path) -> int:
    return int.from_bytes(hashlib.sha256(path.name.encode()).digest()[:8])
