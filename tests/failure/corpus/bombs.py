"""Small files that claim to be large, and small files that are."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from PIL import Image

from tests.failure.corpus.entry import MAYBE, REFUSED, Bad, photo_entry
from tests.helpers.photos import cat, encode

SIDES = (100, 200, 500, 1000, 2000, 5000, 7072, 10_000, 16_000, 30_000, 65_000)
DRAWN_SIDES = (100, 1000, 2500)  # whose rows are all there: good photos, if strange ones
FINE = frozenset({200})
_GIBIBYTE = 2**30


def chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def png(width: int, height: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A grey PNG from its parts. Args: rows: with each row's filter byte; extra: chunks before them."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    packed = chunk(b"IDAT", zlib.compress(rows, 9))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + packed + chunk(b"IEND", b"")


def _claim_png(side: int) -> bytes:
    return png(side, side, bytes(1000))


def _claim_jpeg(side: int) -> bytes:
    """A photo of 64 x 44 whose frame header says otherwise."""
    data = bytearray(encode(cat(64, 44)))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", side, side)
    return bytes(data)


def _claim_progressive_jpeg(side: int) -> bytes:
    """Progressive ones keep all coefficients: they cost more for every pixel that is claimed."""
    data = bytearray(encode(cat(64, 44), progressive=True))
    frame = data.index(b"\xff\xc2")
    data[frame + 5 : frame + 9] = struct.pack(">HH", side, side)
    return bytes(data)


def _claim_bmp(side: int) -> bytes:
    data = bytearray(encode(cat(64, 44), "BMP"))
    data[18:26] = struct.pack("<ii", side, side)
    return bytes(data)


def _claim_tiff(side: int) -> bytes:
    """Grey, uncompressed, one strip of as many bytes as the pixels claim."""
    tags = {256: side, 257: side, 258: 8, 259: 1, 262: 1, 273: 200, 277: 1, 278: side, 279: side * side % 2**32}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return (b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)).ljust(300, b"\0")


def _claim_webp(side: int) -> bytes:
    """The extended format, whose canvas has 24 bits a side, around a picture of 64 x 44."""
    still = encode(cat(64, 44), "WEBP")[12:]
    canvas = b"VP8X" + struct.pack("<IB3x", 10, 0) + (side - 1).to_bytes(3, "little") * 2
    return b"RIFF" + struct.pack("<I", 4 + len(canvas) + len(still)) + b"WEBP" + canvas + still


CLAIMS = {
    "png": _claim_png,
    "jpeg": _claim_jpeg,
    "progressive jpeg": _claim_progressive_jpeg,
    "bmp": _claim_bmp,
    "tiff": _claim_tiff,
    "webp": _claim_webp,
}


def bombs() -> Iterator[Bad]:
    for kind, claim in CLAIMS.items():
        for side in SIDES:
            yield photo_entry(f"bomb: {kind} of {side} x {side}", claim(side), _right_for(kind, side))
    for side in DRAWN_SIDES:
        rows = bytes(side * (side + 1))
        yield photo_entry(f"bomb: a black PNG of {side} x {side}, all rows there", png(side, side, rows), FINE)
    for name, data in _metadata_bombs().items():
        yield photo_entry(f"bomb: {name}", data, REFUSED)
    yield photo_entry("bomb: TIFF with a tag of a GiB", _huge_tag_tiff(), MAYBE)  # Pillow skips the tag
    yield from _long_and_thin()


def _right_for(kind: str, side: int) -> frozenset[int]:
    """More than 50 megapixels are too many; fewer are not there, where libjpeg goes on in grey."""
    if side * side > 50_000_000:
        return frozenset({413}) if kind != "webp" else REFUSED  # its decoder compares canvas and picture first
    return MAYBE if "jpeg" in kind else frozenset({400, 415})


def _metadata_bombs() -> dict[str, bytes]:
    text, rows = zlib.compress(bytes(40_000_000), 9), bytes(3)
    return {
        "PNG with compressed text": png(2, 1, rows, chunk(b"zTXt", b"a\0\0" + text)),
        "PNG with compressed Unicode": png(2, 1, rows, chunk(b"iTXt", b"a\0\1\0\0\0" + text)),
        "PNG with a compressed profile": png(2, 1, rows, chunk(b"iCCP", b"a\0\0" + text)),
        "PNG with a chunk of 2 GiB": png(2, 1, rows, struct.pack(">I", 2**31 - 1) + b"tEXt"),
        "PNG of no width": png(0, 5, rows),
        "PNG of the largest number's width": png(2**31 - 1, 2**31 - 1, rows),
        "TIFF with 60,000 tags": b"II*\0\x08\0\0\0" + struct.pack("<H", 60_000) + bytes(12 * 1000),
    }


def _huge_tag_tiff() -> bytes:
    """Bits per sample: a thousand million of them."""
    tags = {256: (64, 1), 257: (44, 1), 258: (8, _GIBIBYTE), 259: (1, 1), 262: (1, 1), 273: (200, 1), 279: (2816, 1)}
    entries = b"".join(struct.pack("<HHII", tag, 4, count, value) for tag, (value, count) in sorted(tags.items()))
    return (b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)).ljust(4000, b"\0")


def _long_and_thin() -> Iterator[Bad]:
    """Good photos of a kind that resizing may stumble on."""
    for width, height in ((65_000, 1), (1, 65_000), (1, 1), (20_000, 30)):
        data = encode(Image.new("RGB", (width, height), "red"), "PNG")
        yield photo_entry(f"bomb: a red PNG of {width} x {height}", data, FINE)
