"""Every colour mode, sample depth and orientation ends as the same kind of array."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.unit.codec.samples import encode, grey_tiff, photo, png, png_chunk, sloppy_exif
from weakseg.codec.decode import decode_image, decode_photo
from weakseg.errors import NotAnImageError, TruncatedImageError

LOSSLESS = {"PNG": {}, "WEBP": {"lossless": True}, "BMP": {}, "TIFF": {}}
SIXTEEN_BIT = np.array([[0x0000, 0x01FF, 0x8000], [0x7FFF, 0xFF00, 0xFFFF]], np.uint16)
HIGH_BYTES = np.array([[0x00, 0x01, 0x80], [0x7F, 0xFF, 0xFF]], np.uint8)

UPRIGHT_TO_STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),  # stored turned left: a viewer turns it right
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}


def grey_to_rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)  # (H, W, 3)


@pytest.mark.parametrize("file_format", LOSSLESS)
def test_lossless_formats_give_the_exact_pixels(file_format):
    rgb = decode_image(encode(photo(), file_format, **LOSSLESS[file_format]))
    np.testing.assert_array_equal(rgb, photo())
    assert rgb.dtype == np.uint8
    assert rgb.flags.c_contiguous
    assert rgb.flags.writeable


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0, "quality": 95}])
def test_jpeg_equals_opencv(options):
    data = encode(photo(), "JPEG", **options)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(decode_image(data), expected)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "BMP", "TIFF"])
@pytest.mark.parametrize("mode", ["L", "1"])
def test_grey_and_one_bit(file_format, mode):
    image = Image.fromarray(photo()).convert(mode)
    rgb = decode_image(encode(image, file_format, **({"quality": 100} if file_format == "JPEG" else {})))
    expected = grey_to_rgb(np.asarray(image.convert("L")))
    assert np.abs(rgb.astype(int) - expected).max() <= (2 if file_format == "JPEG" else 0)


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF"])
def test_transparency_is_laid_on_white(file_format):
    rgba = np.array([[[200, 10, 0, 255], [200, 10, 0, 0], [0, 0, 0, 51]]], np.uint8)  # (1, 3, 4)
    options = {"lossless": True, "exact": True} if file_format == "WEBP" else {}
    rgb = decode_image(encode(rgba, file_format, **options))
    assert rgb.tolist() == [[[200, 10, 0], [255, 255, 255], [204, 204, 204]]]  # 255 * (1 - 51 / 255)


def test_grey_with_alpha():
    image = Image.fromarray(np.array([[[100, 255], [100, 0]]], np.uint8), "LA")
    assert decode_image(encode(image, "PNG")).tolist() == [[[100] * 3, [255] * 3]]


@pytest.mark.parametrize("transparency", [1, b"\xff\x00"], ids=["one index", "alpha per index"])
def test_palette_with_transparency(transparency):
    image = Image.fromarray(np.array([[0, 1, 0]], np.uint8))
    image.putpalette([10, 20, 30, 40, 50, 60])
    rgb = decode_image(encode(image, "PNG", transparency=transparency))
    assert rgb.tolist() == [[[10, 20, 30], [255, 255, 255], [10, 20, 30]]]


def test_colour_key_transparency():
    rows = b"\0" + bytes([10, 20, 30, 40, 50, 60])
    data = png(2, 1, bits=8, colour_type=2, rows=rows, extra=png_chunk(b"tRNS", bytes([0, 40, 0, 50, 0, 60])))
    assert decode_image(data).tolist() == [[[10, 20, 30], [255, 255, 255]]]


@pytest.mark.parametrize("file_format", ["JPEG", "TIFF"])
def test_cmyk(file_format):
    """JPEG holds it inverted, as Adobe does; TIFF plain."""
    cmyk = np.zeros((16, 24, 4), np.uint8)
    cmyk[:, :, 1:3] = 255  # magenta and yellow: red
    image = Image.frombytes("CMYK", (24, 16), cmyk.tobytes())
    rgb = decode_image(encode(image, file_format, **({"quality": 100} if file_format == "JPEG" else {})))
    assert rgb.shape == (16, 24, 3)
    assert np.abs(rgb.astype(int) - [255, 0, 0]).max() <= 2


def test_cmyk_jpeg_agrees_with_opencv():
    data = encode(Image.fromarray(photo()).convert("CMYK"), "JPEG", quality=95)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert np.abs(decode_image(data).astype(int) - expected).max() <= 2


@pytest.mark.parametrize("extension", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_keep_the_high_byte(extension, channels):
    bgr = np.repeat(SIXTEEN_BIT[..., None], channels, axis=2)  # (2, 3, channels)
    bgr[..., 3:] = 0xFFFF
    data = cv2.imencode(extension, bgr)[1].tobytes()
    np.testing.assert_array_equal(decode_image(data), grey_to_rgb(HIGH_BYTES))


@pytest.mark.parametrize("order", ["<", ">"])
def test_sixteen_bit_tiff_in_both_byte_orders(order):
    samples = SIXTEEN_BIT.astype(order + "u2").tobytes()
    data = grey_tiff(samples, width=3, height=2, bits=16, order=order)
    np.testing.assert_array_equal(decode_image(data), grey_to_rgb(HIGH_BYTES))


def test_sixteen_bit_tiff_where_white_is_zero():
    data = grey_tiff(SIXTEEN_BIT.astype("<u2").tobytes(), width=3, height=2, bits=16, photometric=0)
    np.testing.assert_array_equal(decode_image(data), grey_to_rgb(255 - HIGH_BYTES))


def test_twelve_bit_tiff_is_not_dark():
    samples = bytes([0x00, 0x08, 0x00, 0xFF, 0xF1, 0x23])  # 0x000 0x800 | 0xFFF 0x123
    data = grey_tiff(samples, width=2, height=2, bits=12)
    np.testing.assert_array_equal(decode_image(data), grey_to_rgb(np.array([[0x00, 0x80], [0xFF, 0x12]], np.uint8)))


@pytest.mark.parametrize("mode", ["I", "F", "LAB"])
def test_samples_without_a_known_white_are_refused(mode):
    image = Image.new(mode, (3, 2))
    with pytest.raises(NotAnImageError, match=f"mode {mode}") as caught:
        decode_image(encode(image, "TIFF"))
    assert "8 or 16 bits" in caught.value.remedy


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", UPRIGHT_TO_STORED)
def test_exif_orientation_is_applied(file_format, orientation):
    upright = np.zeros((24, 40, 3), np.uint8)
    upright[:8, :16] = 255, 0, 0
    upright[16:, 24:] = 0, 0, 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {**LOSSLESS, "JPEG": {"quality": 100, "subsampling": 0}}[file_format]
    data = encode(np.ascontiguousarray(UPRIGHT_TO_STORED[orientation](upright)), file_format, exif=exif, **options)
    rgb = decode_image(data)
    assert rgb.shape == upright.shape
    assert np.abs(rgb.astype(int) - upright).max() <= (3 if file_format == "JPEG" else 0)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("exif", [b"Exif\0\0nonsense", b"Exif\0\0II*\0\xff\xff\xff\xff"])
def test_unreadable_exif_does_not_cost_the_picture(exif):
    assert decode_image(encode(photo(), "JPEG", exif=exif)).shape == (40, 60, 3)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_sloppy_exif_still_turns_the_picture():
    assert decode_image(encode(photo(), "JPEG", exif=sloppy_exif())).shape == (60, 40, 3)


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF"])
def test_first_frame_only(file_format):
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "blue")]
    data = encode(frames[0], file_format, save_all=True, append_images=frames[1:], **LOSSLESS[file_format])
    np.testing.assert_array_equal(decode_image(data), np.broadcast_to(np.uint8([255, 0, 0]), (4, 6, 3)))


def test_a_phones_jpeg_with_a_second_picture():
    """MPO: two JPEGs in one file."""
    data = encode(Image.fromarray(photo()), "MPO", save_all=True, append_images=[Image.new("RGB", (60, 40))])
    np.testing.assert_array_equal(decode_image(data), decode_image(encode(photo(), "JPEG")))


@pytest.mark.parametrize("file_format", LOSSLESS)
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1)])
def test_one_pixel_wide(file_format, size):
    data = encode(Image.new("RGB", size, (1, 2, 3)), file_format, **LOSSLESS[file_format])
    np.testing.assert_array_equal(decode_image(data), np.broadcast_to(np.uint8([1, 2, 3]), (*size[::-1], 3)))


@pytest.mark.parametrize(
    ("least_px", "shape"),
    [
        (None, (120, 200)),
        (121, (120, 200)),
        (61, (120, 200)),
        (60, (60, 100)),
        (31, (60, 100)),
        (30, (30, 50)),
        (3, (15, 25)),
    ],
)
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_jpeg_may_be_decoded_smaller(least_px, shape, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = cv2.resize(photo(120, 200), (200, 120))
    stored = np.ascontiguousarray(UPRIGHT_TO_STORED[orientation](upright))
    found = decode_photo(encode(stored, "JPEG", quality=95, exif=exif), least_px=least_px)
    assert found.hw == (120, 200)
    assert found.rgb.shape == (*shape, 3)
    expected = cv2.resize(upright, shape[::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(found.rgb.astype(int) - expected).mean() < 3


@pytest.mark.parametrize("file_format", LOSSLESS)
def test_other_formats_keep_all_their_pixels(file_format):
    found = decode_photo(encode(photo(), file_format, **LOSSLESS[file_format]), least_px=4)
    assert (found.hw, found.rgb.shape) == ((40, 60), (40, 60, 3))


def test_a_broken_jpeg_is_broken_at_any_size():
    data = encode(photo(120, 200), "JPEG")
    with pytest.raises(TruncatedImageError):
        decode_photo(data[: len(data) * 2 // 3], least_px=16)
