"""A photo with a mask, before it is read: where its pixels and its mask come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from training.masks.coding import Coding, LabelMap
from training.photos import read_pixels
from weakseg.errors import DataError
from weakseg.types import Rgb


class Masked(NamedTuple):
    """A photo and its mask, read."""

    rgb: Rgb  # (H, W, 3) uint8
    targets: LabelMap  # (H, W) uint8: 0 background, 1 to C the classes, 255 void


class Source(Protocol):
    """How photos of one kind get their masks."""

    def read(self, photo: MaskedPhoto, seed: int | None) -> Masked:
        """The photo and its mask.

        Args:
            seed: Of what is random, such as the scene that an object is pasted into; None: always the same.
        Raises:
            DataError: naming the file that cannot be used.
        """

    def warm(self, photo: MaskedPhoto) -> None:
        """Keep in memory whatever this source keeps, before processes are forked."""


@dataclass(frozen=True, slots=True)
class MaskedPhoto:
    """A photo with a mask, not yet read."""

    path: Path
    mask: Path | None  # its file; None where the mask is computed
    source: Source

    def read(self, seed: int | None = None) -> Masked:
        """See `Source.read`."""
        return self.source.read(self, seed)


@dataclass(frozen=True)
class FileSource:
    """Masks that are files."""

    coding: Coding

    def read(self, photo: MaskedPhoto, seed: int | None) -> Masked:  # noqa: ARG002 - nothing is random
        if photo.mask is None:
            raise DataError(f"{photo.path} has no mask.")
        rgb, targets = read_pixels(photo.path), self.coding.read(photo.mask)
        if rgb.shape[:2] != targets.shape:
            raise DataError(
                f"{photo.path} has {rgb.shape[1]} x {rgb.shape[0]} pixels, its mask {photo.mask} {targets.shape[1]} x "
                f"{targets.shape[0]}. Make both the same size."
            )
        return Masked(rgb, targets)

    def warm(self, photo: MaskedPhoto) -> None:
        """Nothing is kept."""


class Kept:
    """Another source, whose photos stay in memory once they were read. For sources where nothing is random."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._known: dict[tuple[Path, Path | None], Masked] = {}

    def read(self, photo: MaskedPhoto, seed: int | None) -> Masked:  # noqa: ARG002 - nothing is random
        self.warm(photo)
        return self._known[photo.path, photo.mask]

    def warm(self, photo: MaskedPhoto) -> None:
        if (photo.path, photo.mask) not in self._known:
            self._known[photo.path, photo.mask] = self.source.read(photo, None)
