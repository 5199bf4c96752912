"""Photos and masks in two plain folders: what a network that labels pixels is measured on outside VOC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from weakseg.codec.decode import Limits, decode_image
from weakseg.errors import DataError, RequestError
from weakseg.types import Rgb
from weakseg.voc import VOID

PHOTO_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
MASK_ENDING = ".png"


@dataclass(frozen=True, slots=True)
class FolderSample:
    """One photo and its mask, not yet read.

    Args:
        classes: C of the model; masks have the values 0 (background) to C. With one class, 255 is that class too.
        void: The value that counts nowhere; None: no value does.
    """

    image_id: str
    photo: Path
    mask: Path
    classes: int
    void: int | None

    def read(self, limits: Limits) -> tuple[Rgb, NDArray[np.uint8]]:
        """Photo (H, W, 3) uint8 RGB, and mask (H, W) uint8: 0 background, 1 to C, 255 void.

        Raises:
            DataError: a broken file, a value that is no class, or the two differ in size.
        """
        try:
            rgb = decode_image(self.photo.read_bytes(), limits)
        except RequestError as error:
            raise DataError(f"{self.photo}: {error.message}") from error
        mask = self._translate(_read_values(self.mask))
        if mask.shape != rgb.shape[:2]:
            raise DataError(
                f"{self.image_id}: the photo is {rgb.shape[1]} x {rgb.shape[0]} pixels,"
                f" its mask {mask.shape[1]} x {mask.shape[0]}. Make both the same size."
            )
        return rgb, mask

    def _translate(self, values: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W) values of the file to 0, classes and VOID."""
        void = np.zeros(values.shape, bool) if self.void is None else values == self.void
        mask = np.where((values == 255) & ~void & (self.classes == 1), 1, values)  # (H, W)
        unknown = np.unique(mask[~void & (mask > self.classes)])
        if len(unknown):
            raise DataError(
                f"{self.mask} has the value {unknown[0]}, but the model's classes are 1 to {self.classes}."
                " Name a value that is to count nowhere with --void."
            )
        return np.where(void, VOID, mask).astype(np.uint8)


def read_folders(
    images: Path, masks: Path, names: Path | None, *, classes: int, void: int | None
) -> list[FolderSample]:
    """The samples of two folders, by name: ``images/NAME.jpg`` (or another picture) and ``masks/NAME.png``.

    Args:
        names: A text file of names, one a line; None: every photo of ``images`` that has a mask.
        classes, void: See `FolderSample`.
    Raises:
        DataError: a folder or a file is missing, or there is nothing to measure.
    """
    photos = _find_photos(images)
    wanted = list(photos) if names is None else _read_names(names)
    found = [(name, photos.get(name), masks / f"{name}{MASK_ENDING}") for name in wanted]
    if names is None:
        found = [(name, photo, mask) for name, photo, mask in found if mask.is_file()]
    missing = [name for name, photo, mask in found if photo is None or not mask.is_file()]
    if missing:
        raise DataError(f"{len(missing)} of {len(found)} names lack a photo or a mask, first {missing[0]!r}.")
    samples = [FolderSample(name, photo, mask, classes, void) for name, photo, mask in found if photo is not None]
    if not samples:
        raise DataError(f"No photo of {images} has a mask of its name in {masks}.")
    return samples


def _find_photos(folder: Path) -> dict[str, Path]:
    """Name without ending to file, sorted."""
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder.")
    found = sorted(path for path in folder.iterdir() if path.suffix.casefold() in PHOTO_ENDINGS)
    photos = {path.stem: path for path in found}
    if len(photos) < len(found):
        twice = next(path for path in found if photos[path.stem] != path)
        raise DataError(f"{folder} holds {twice.name} and {photos[twice.stem].name}: which of them does a mask mean?")
    return photos


def _read_names(path: Path) -> Sequence[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is no list of names: {error}.") from error
    return list(dict.fromkeys(line.strip() for line in lines if line.strip()))


def _read_values(path: Path) -> NDArray[np.uint8]:
    try:
        with Image.open(path) as picture:
            if picture.mode not in ("1", "L", "P"):
                raise DataError(f"{path} has mode {picture.mode}; a mask is a grey or palette PNG of class numbers.")
            return np.array(picture, np.uint8)  # (H, W)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}.") from error
