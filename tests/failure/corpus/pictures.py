"""Pictures that were damaged on their way, and files that are no pictures at all."""

from __future__ import annotations

import base64
import gzip
import io
import random
import zipfile
from collections.abc import Iterator

from PIL import Image

from tests.failure.corpus.entry import MAYBE, REFUSED, Bad, photo_entry
from tests.helpers.photos import cat, encode, every_kind

CUTS = range(0, 100, 5)  # percent of a file that arrives
FLIPS = 6  # files per kind with flipped bits


def kinds() -> dict[str, bytes]:
    """A small photo in every kind of file and, where damage may meet other code, of compression."""
    photo = cat(64, 44)
    more = {
        "progressive jpeg": encode(photo, progressive=True),
        "interlaced png": encode(photo, "PNG", optimize=True),
        "lossless webp": encode(photo, "WEBP", lossless=True),
        "animated webp": encode(photo, "WEBP", save_all=True, append_images=[photo.rotate(90)]),
        "lzw tiff": encode(photo, "TIFF", compression="tiff_lzw"),
        "jpeg tiff": encode(photo, "TIFF", compression="jpeg"),
        "deflate tiff": encode(photo, "TIFF", compression="tiff_adobe_deflate"),
        "palette bmp": encode(photo.convert("P"), "BMP"),
        "gif": encode(photo.convert("P"), "GIF"),
    }
    return every_kind() | more


def damaged_pictures() -> Iterator[Bad]:
    """Truncations at every 5 % of the formats, and flipped bits in every kind."""
    files = kinds()
    for kind in ("jpeg", "progressive jpeg", "png", "webp", "lossless webp", "bmp", "tiff", "lzw tiff", "gif"):
        for percent in CUTS:
            cut = files[kind][: len(files[kind]) * percent // 100]
            yield photo_entry(f"{kind}: {percent} % of it", cut, REFUSED)
    for kind, data in files.items():
        for seed in range(FLIPS):
            yield photo_entry(f"{kind}: flipped bits {seed}", flip_bits(data, f"{kind} {seed}", 1 + 4 * seed), MAYBE)


def flip_bits(data: bytes, seed: str, count: int) -> bytes:
    """``count`` bits changed; half of them among the first 200 bytes, where heads lie."""
    chance, changed = random.Random(seed), bytearray(data)
    for turn in range(count):
        reach = min(len(data), 200) if turn % 2 else len(data)
        changed[chance.randrange(reach)] ^= 1 << chance.randrange(8)
    return bytes(changed)


def no_pictures() -> Iterator[Bad]:
    """Files of other kinds, whole or their beginning."""
    photo = encode(cat(64, 44))
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr(zipfile.ZipInfo("photo.jpg"), photo)  # whose date does not change
    files = {
        "nothing": b"",
        "one byte": b"\xff",
        "a NUL": b"\0",
        "a million NULs": bytes(1_000_000),
        "blanks": b" \r\n\t" * 100,
        "a sentence": b"A photo of a cat, please.",
        "HTML": b"<!DOCTYPE html><html><body>no photo</body></html>",
        "SVG": b"<svg xmlns='http://www.w3.org/2000/svg' width='65000' height='65000'/>",
        "SVG that names a file": b'<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>',
        "a PDF's head": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n",
        "a ZIP": archive.getvalue(),
        "a gzipped photo": gzip.compress(photo, mtime=0),
        "an ELF's head": b"\x7fELF\x02\x01\x01" + bytes(57),
        "a Windows program's head": b"MZ\x90\0" + bytes(60),
        "a Java class": b"\xca\xfe\xba\xbe\0\0\0\x41",
        "a Python pickle": b"\x80\x04\x95\x1a\0\0\0\0\0\0\0\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
        "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 65000 65000\n",
        "a PSD's head": b"8BPS\0\1" + bytes(20),
        "HEIC": b"\0\0\0\x20ftypheic\0\0\0\0",
        "AVIF": b"\0\0\0\x20ftypavif\0\0\0\0",
        "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n",
        "an icon": encode(cat(32, 32), "ICO"),
        "PPM": b"P6 65000 65000 255\n" + bytes(100),
        "a WAVE file": b"RIFF\x24\0\0\0WAVEfmt ",
        "an MP4's head": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom",
        "a model archive's head": b"PK\x03\x04MAR-INF/MANIFEST.json",
        "base64 without JSON": base64.b64encode(photo),
        "a photo behind a blank": b" " + photo,
        "a photo's heads alone": b"\xff\xd8\xff\xe0\0\x10JFIF\0",
        "PNG's first line": b"\x89PNG\r\n\x1a\n",
        "PNG with text line ends": encode(cat(64, 44), "PNG").replace(b"\r\n", b"\n", 1),
        "TIFF without pages": b"II*\0\0\0\0\0",
        "TIFF whose page is itself": b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
        "RIFF of no length": b"RIFF\0\0\0\0WEBP",
        "BM": b"BM",
        "a float TIFF": encode(Image.new("F", (20, 10), 0.5), "TIFF"),
        "a 32-bit TIFF": encode(Image.new("I", (20, 10), 70_000), "TIFF"),
        "random bytes": random.Random(0).randbytes(50_000),
    }
    for name, data in files.items():
        yield photo_entry(f"no picture: {name}", data, REFUSED)
