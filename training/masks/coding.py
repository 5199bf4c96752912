"""Mask files to targets: which value or colour of a file is which class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from weakseg.errors import DataError
from weakseg.voc import VOID

LabelMap: TypeAlias = NDArray[np.uint8]  # (H, W): 0 background, 1 to C the classes, 255 void

BACKGROUND, VOID_NAME = "background", "void"
UNKNOWN = 254  # in a table: a value without a meaning. More classes than this do not fit into a mask
_INDEX_MODES = ("L", "P", "1")


@dataclass(frozen=True)
class ValueCoding:
    """Grey or palette masks: a value is a class.

    Args:
        table: (256,) uint8: the target of every value, or UNKNOWN.
    """

    table: NDArray[np.uint8]

    def read(self, path: Path) -> LabelMap:
        """Raises: DataError naming the file: unreadable, a colour picture, a value without a meaning."""
        values = read_values(path)
        targets: LabelMap = self.table[values]  # (H, W)
        if (targets == UNKNOWN).any():
            strange = int(values[targets == UNKNOWN][0])
            raise DataError(
                f"{path} has the value {strange}, which is no class. Name it in mask_values, as a class, {BACKGROUND} "
                f"or {VOID_NAME}."
            )
        return targets


@dataclass(frozen=True)
class ColourCoding:
    """Colour masks (PNG, PPM): a colour is a class.

    Args:
        colours: (N,) int64, ascending: colours as 65536 R + 256 G + B.
        targets: (N,) uint8.
    """

    colours: NDArray[np.int64]
    targets: NDArray[np.uint8]

    def read(self, path: Path) -> LabelMap:
        """Raises: DataError naming the file: unreadable, a colour without a meaning."""
        rgb = _open(path).convert("RGB")
        packed = np.asarray(rgb, np.int64) @ np.array([65536, 256, 1])  # (H, W)
        place = np.searchsorted(self.colours, packed).clip(max=len(self.colours) - 1)  # (H, W)
        strange = packed[self.colours[place] != packed]
        if len(strange):
            raise DataError(
                f"{path} has the colour {list(unpack_rgb(int(strange[0])))}, which is no class. Name it in "
                f"mask_colours, as a class, {BACKGROUND} or {VOID_NAME}."
            )
        targets: LabelMap = self.targets[place]
        return targets


Coding: TypeAlias = ValueCoding | ColourCoding
Others: TypeAlias = Literal["background", "void"]


def code_values(meanings: Mapping[int, str], classes: Sequence[str], others: Others) -> ValueCoding:
    """A coding of values.

    Args:
        meanings: Value to name: a class, "background" or "void". 0 is background and 255 void where they are not named.
        classes: Those that are learned, in order.
        others: What the named ones that are not among them become.
    """
    table = np.full(256, UNKNOWN, np.uint8)
    for value, name in {0: BACKGROUND, VOID: VOID_NAME, **meanings}.items():
        table[value] = _target(name, classes, others)
    return ValueCoding(table)


def code_colours(meanings: Mapping[str, tuple[int, int, int]], classes: Sequence[str], others: Others) -> ColourCoding:
    """A coding of colours: name (a class, "background" or "void") to RGB. Black is background where it is not named."""
    packed = {red << 16 | green << 8 | blue: name for name, (red, green, blue) in meanings.items()}
    ordered = sorted({0: BACKGROUND, **packed}.items())
    targets = [_target(name, classes, others) for _, name in ordered]
    return ColourCoding(np.array([colour for colour, _ in ordered]), np.array(targets, np.uint8))


def read_values(path: Path) -> NDArray[np.uint8]:
    """(H, W) uint8 values of a grey or palette picture. Raises: DataError naming the file."""
    picture = _open(path)
    if picture.mode not in _INDEX_MODES:
        raise DataError(
            f"{path} has mode {picture.mode}, not values of 8 bits. Say in mask_colours which colour is which class, "
            "or save the masks as grey or palette PNG."
        )
    return np.array(picture, np.uint8)


def unpack_rgb(packed: int) -> tuple[int, int, int]:
    """65536 R + 256 G + B to (R, G, B)."""
    return packed >> 16, packed >> 8 & 255, packed & 255


def _open(path: Path) -> Image.Image:
    try:
        with Image.open(path) as picture:
            picture.load()
            return picture
    except (OSError, ValueError, SyntaxError) as error:  # what Pillow raises on broken PNG and PPM files
        raise DataError(f"{path} cannot be read as a mask: {error}.") from error


def _target(name: str, classes: Sequence[str], others: Others) -> int:
    if name in classes:
        return classes.index(name) + 1
    if name == BACKGROUND:
        return 0
    return VOID if name == VOID_NAME or others == "void" else 0
