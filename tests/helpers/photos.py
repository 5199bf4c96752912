"""Encoded pictures: scikit-image's cat, in many kinds and in bad ones; coloured stripes."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import skimage.data
from PIL import Image

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def encode(image: Image.Image, kind: str = "JPEG", **settings: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    return buffer.getvalue()


def cat(width: int = 120, height: int = 80) -> Image.Image:
    return Image.fromarray(skimage.data.chelsea()).resize((width, height))


def cat_photo(width: int = 120, height: int = 80, kind: str = "JPEG") -> bytes:
    return encode(cat(width, height), kind)


def every_kind() -> dict[str, bytes]:
    """The cat at 120 x 80 (upright) in every kind of file and pixel that the service takes."""
    upright = cat()
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it by 90 degrees clockwise to see it upright
    sixteen = np.asarray(upright.convert("L")).astype(np.uint16) * 257  # (80, 120)
    return {
        "jpeg": encode(upright),
        "png": encode(upright, "PNG"),
        "webp": encode(upright, "WEBP"),
        "bmp": encode(upright, "BMP"),
        "tiff": encode(upright, "TIFF"),
        "grey": encode(upright.convert("L")),
        "rgba": encode(upright.convert("RGBA"), "PNG"),
        "palette": encode(upright.convert("P"), "PNG"),
        "cmyk": encode(upright.convert("CMYK")),
        "16 bit": encode(Image.fromarray(sixteen), "PNG"),
        "exif": encode(upright.transpose(Image.Transpose.ROTATE_90), exif=exif),
    }


def png_bomb(width: int = 20_000, height: int = 20_000) -> bytes:
    """A PNG of some 100 bytes whose header promises width x height pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    packed = [struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def three_stripes(width: int = 120, height: int = 80, *, right: tuple[int, int, int] = GREEN) -> bytes:
    """Three upright stripes of equal width: red, blue, and ``right``; PNG."""
    whole = Image.new("RGB", (width, height))
    for place, colour in enumerate((RED, BLUE, right)):
        whole.paste(colour, (place * width // 3, 0, (place + 1) * width // 3, height))
    return encode(whole, "PNG")
