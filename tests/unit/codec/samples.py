"""Small encoded pictures, built by Pillow and, where Pillow cannot, by hand."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image


def photo(height: int = 40, width: int = 60) -> NDArray[np.uint8]:
    """(height, width, 3) crop around an eye of scikit-image's cat."""
    return np.ascontiguousarray(skimage.data.chelsea()[90 : 90 + height, 130 : 130 + width])


def encode(picture: Image.Image | NDArray[Any], file_format: str, **options: Any) -> bytes:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def png_chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def png(width: int, height: int, *, bits: int, colour_type: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG from its parts; ``rows`` has each row's filter byte, ``extra`` further chunks."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + extra
        + png_chunk(b"IDAT", zlib.compress(rows))
        + png_chunk(b"IEND", b"")
    )


def grey_tiff(samples: bytes, *, width: int, height: int, bits: int, photometric: int = 1, order: str = "<") -> bytes:
    """An uncompressed grey TIFF with one strip, samples as they lie in the file."""
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 277: 1, 278: height, 279: len(samples)}
    tags[273] = 8 + 2 + 12 * (len(tags) + 1) + 4  # the strip follows the directory
    entries = b"".join(
        struct.pack(order + "HHI", tag, 3, 1) + struct.pack(order + "HH", value, 0)
        for tag, value in sorted(tags.items())
    )
    mark = b"II*\0" if order == "<" else b"MM\0*"
    directory = struct.pack(order + "IH", 8, len(tags)) + entries + struct.pack(order + "I", 0)
    return mark + directory + samples


def sloppy_exif() -> bytes:
    """EXIF that says orientation 6, then breaks off within its second entry."""
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entry + b"\x01\x02\x03"
