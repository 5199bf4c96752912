"""Files of results: whole or not at all, and never outside their folder."""

from __future__ import annotations

import errno
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from weakseg.batch.answers import label_map
from weakseg.codec.pictures import encode_mask
from weakseg.errors import BatchError, UnusablePhotoError
from weakseg.options import Format

_THIS_PHOTO_ONLY = (errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY)
FOLDERS = {
    Format.MASK: "masks",
    Format.CUTOUT: "cutouts",
    Format.OVERLAY: "overlays",
    Format.HEATMAP: "heatmaps",
    Format.JSON: "json",
    Format.NPZ: "npz",
}


class Outputs:
    """The files of one run below ``folder``."""

    def __init__(self, folder: Path, formats: tuple[Format, ...]) -> None:
        self.folder = folder
        self.formats = formats
        self._root = folder.resolve()

    def path(self, name: str, kind: Format) -> Path:
        """``masks/a/1.jpg.png``: the whole name stays, so that ``1.jpg`` and ``1.png`` have files of their own."""
        ending = kind.value if kind in (Format.JSON, Format.NPZ) else "png"
        return self.folder / FOLDERS[kind] / f"{name}.{ending}"

    def are_there(self, name: str) -> bool:
        return all(self.path(name, kind).is_file() for kind in self.formats)

    def write_mask(self, name: str, number: int, record: dict[str, Any]) -> None:
        """The record's segments as a PNG of category ids."""
        self.write(name, number, Format.MASK, encode_values(label_map(record)))

    def write(self, name: str, number: int, kind: Format, content: bytes) -> None:
        """Beside its place first, then renamed.

        Raises:
            UnusablePhotoError: a file cannot have this name here.
            BatchError: nothing can be written: the disk is full, or the folder is not ours.
        """
        path = self.path(name, kind)
        if not path.parent.resolve().is_relative_to(self._root):
            raise _unwritable(path, "a link on the way leads out of the folder")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, content, draft=f".weakseg-{number}.part")
        except OSError as error:
            if error.errno in _THIS_PHOTO_ONLY:
                raise _unwritable(path, str(error)) from error
            raise BatchError(f"{path} cannot be written: {error}. Mend it and run the same command again.") from error


def encode_values(values: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """(H, W) uint8 to an indexed PNG in VOC's palette, uint16 to a 16-bit grey one."""
    if values.dtype == np.uint8:
        return encode_mask(values.astype(np.uint8, copy=False))
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


def replace_file(path: Path, content: bytes, *, draft: str) -> None:
    """Write ``path`` whole or not at all."""
    beside = path.with_name(draft)
    try:
        beside.write_bytes(content)
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def _unwritable(path: Path, reason: str) -> UnusablePhotoError:
    return UnusablePhotoError(
        f"{path} cannot be written: {reason}.",
        code="output_unwritable",
        remedy="Rename the photo, or give another folder with --out.",
    )
