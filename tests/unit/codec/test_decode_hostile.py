"""Whatever the bytes are, the answer is a picture or a RequestError: soon, and without a warning."""

from __future__ import annotations

import subprocess
import sys
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.unit.codec.samples import encode, photo, png, png_chunk, sloppy_exif
from weakseg.codec.decode import Limits, decode_image
from weakseg.errors import ImageTooLargeError, MissingImageError, NotAnImageError, RequestError, TruncatedImageError

BOMB = zlib.compress(bytes(30_000_000), 9)


def exif_of(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


PALETTE_PHOTO = Image.fromarray(photo()).quantize(16)
VALID = {
    "jpeg": encode(photo(), "JPEG", exif=exif_of(6)),
    "jpeg progressive cmyk": encode(Image.fromarray(photo()).convert("CMYK"), "JPEG", progressive=True),
    "png": encode(photo(), "PNG", exif=exif_of(3)),
    "png palette": encode(PALETTE_PHOTO, "PNG", transparency=3),
    "png 16 bit": encode(photo()[..., 0].astype(np.uint16) * 257, "PNG"),
    "webp": encode(photo(), "WEBP", exif=exif_of(8)),
    "webp animated": encode(photo(), "WEBP", save_all=True, append_images=[Image.fromarray(255 - photo())]),
    "bmp": encode(photo(), "BMP"),
    "bmp palette": encode(PALETTE_PHOTO, "BMP"),
    "tiff": encode(photo(), "TIFF", exif=exif_of(5)),
    "tiff lzw": encode(photo(), "TIFF", compression="tiff_lzw"),
    "tiff jpeg": encode(photo(), "TIFF", compression="jpeg"),
    "tiff g4": encode(Image.fromarray(photo()).convert("1"), "TIFF", compression="group4"),
    "tiff 16 bit": encode(photo()[..., 0].astype(np.uint16) * 257, "TIFF"),
}


def decode_or_refuse(data: bytes) -> None:
    """Twice: where Pillow's warnings are errors, as pytest has it, and where they are ignored, as a server has it."""
    expect_rgb_or_refusal(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expect_rgb_or_refusal(data)


def expect_rgb_or_refusal(data: bytes) -> None:
    refusal = None
    try:
        rgb = decode_image(data, Limits(max_pixels=1_000_000))
    except RequestError as error:
        refusal = error
    if refusal is None:
        assert (rgb.dtype, rgb.ndim, rgb.shape[2]) == (np.uint8, 3, 3)
    else:
        assert refusal.field == "image"
        assert refusal.message
        assert refusal.remedy


def test_no_bytes():
    with pytest.raises(MissingImageError, match="no picture"):
        decode_image(b"")


def test_too_many_bytes():
    data = encode(photo(), "PNG")
    assert decode_image(data, Limits(max_bytes=len(data))).shape == (40, 60, 3)
    with pytest.raises(ImageTooLargeError, match=f"{len(data):,} bytes"):
        decode_image(data, Limits(max_bytes=len(data) - 1))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_too_many_pixels(file_format):
    data = encode(photo(), file_format)
    assert decode_image(data, Limits(max_pixels=2400)).shape == (40, 60, 3)
    with pytest.raises(ImageTooLargeError, match="60 x 40 pixels, more than 2,399"):
        decode_image(data, Limits(max_pixels=2399))


@pytest.mark.parametrize("side", [7100, 9700, 20_000, 2**31 - 1])
def test_huge_header_is_refused_before_decoding(side):
    """Above our limit, above Pillow's warning, above Pillow's error, absurd."""
    data = png(side, side, bits=8, colour_type=2, rows=bytes(1000))
    start_s = time.process_time()
    with pytest.raises(ImageTooLargeError, match="50,000,000"):
        decode_image(data)
    assert time.process_time() - start_s < 0.05


def test_pillows_own_bound_stands_beside_a_generous_limit():
    data = png(20_000, 20_000, bits=8, colour_type=2, rows=bytes(1000))
    with pytest.raises(ImageTooLargeError, match="more than 178,956,970 pixels"):
        decode_image(data, Limits(max_pixels=10**12))


@pytest.mark.parametrize(
    "chunk",
    [
        png_chunk(b"zTXt", b"a\0\0" + BOMB),
        png_chunk(b"iTXt", b"a\0\1\0\0\0" + BOMB),
        png_chunk(b"iCCP", b"a\0\0" + BOMB),
    ],
    ids=["zTXt", "iTXt", "iCCP"],
)
def test_exploding_metadata(chunk):
    data = png(2, 1, bits=8, colour_type=0, rows=bytes(3), extra=chunk)
    with pytest.raises(ImageTooLargeError, match="metadata"):
        decode_image(data)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"GIF89a\1\0\1\0", "a GIF"),
        (b"8BPS\0\1", "Photoshop"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "PostScript"),
        (b"%PDF-1.7", "PDF"),
        (b"\0\0\0\x20ftypheic\0\0", "HEIC"),
        (b"\0\0\0\x20ftypavif\0\0", "AVIF"),
        (b"\0\0\0\x0cjP  \r\n", "JPEG 2000"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "text"),
        (b"/9j/4AAQSkZJRgABAQ", "text"),
        (b"RIFF\0\0\0\0WAVE", "no known kind"),
        (b"\0\1\2", "no known kind"),
        (b"\xff", "no known kind"),
    ],
)
def test_other_kinds_of_file_are_named(data, found):
    with pytest.raises(NotAnImageError, match=found) as caught:
        decode_image(data)
    assert caught.value.status == 415
    assert caught.value.remedy == "Send a picture as JPEG, PNG, WebP, BMP or TIFF."


def test_a_real_gif_is_refused():
    with pytest.raises(NotAnImageError, match="GIF"):
        decode_image(encode(photo(), "GIF"))


@pytest.mark.parametrize("name", VALID)
def test_half_a_file_is_truncated(name):
    with pytest.raises(TruncatedImageError, match="cut off") as caught:
        decode_image(VALID[name][: len(VALID[name]) // 2])
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "data",
    [b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0", b"MM\0*\0\0", b"RIFF\0\0\0\0WEBP"],
)
def test_header_alone_is_truncated(data):
    with pytest.raises(TruncatedImageError):
        decode_image(data)


def test_no_width():
    with pytest.raises(TruncatedImageError):
        decode_image(png(0, 5, bits=8, colour_type=2, rows=b""))


@settings(max_examples=200, deadline=None)
@given(name=st.sampled_from(sorted(VALID)), part=st.floats(0, 1))
def test_any_truncation(name, part):
    decode_or_refuse(VALID[name][: int(part * len(VALID[name]))])


CHANGES = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8)


@settings(max_examples=400, deadline=None)
@given(name=st.sampled_from(sorted(VALID)), changes=CHANGES, head_only=st.booleans())
def test_any_changed_bytes(name, changes, head_only):
    data = bytearray(VALID[name])
    reach = min(len(data), 200) if head_only else len(data)
    for place, value in changes:
        data[int(place * reach)] = value
    decode_or_refuse(bytes(data))


@settings(max_examples=100, deadline=None)
@given(start=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0"]), rest=st.binary())
def test_any_bytes(start, rest):
    decode_or_refuse(start + rest)


def test_threads_do_not_disturb_each_other():
    expected = {name: decode_image(data) for name, data in VALID.items()}
    with ThreadPoolExecutor(8) as threads:
        for name, rgb in zip(list(VALID) * 10, threads.map(decode_image, list(VALID.values()) * 10), strict=True):
            np.testing.assert_array_equal(rgb, expected[name])


def test_pillows_warnings_are_silent_in_a_server():
    """pytest replaces the warning filters, so this runs in a process of its own."""
    code = (
        "import sys; from weakseg.codec.decode import decode_image;print(decode_image(sys.stdin.buffer.read()).shape)"
    )
    data = encode(photo(), "JPEG", exif=sloppy_exif())
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True)
    assert done.stdout.decode().strip() == "(60, 40, 3)"
    assert done.stderr == b""
