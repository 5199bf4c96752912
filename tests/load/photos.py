"""What the load test sends as pictures: scikit-image's photos and drawings, in all formats, sizes and colour modes."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import skimage.data
from PIL import Image


@dataclass(frozen=True, slots=True)
class Photo:
    name: str
    encoded: bytes
    media_type: str
    size_wh: tuple[int, int]  # upright


def make_photos() -> list[Photo]:
    """Small and large, broad and tall, grey and transparent; one is stored on its side (EXIF)."""
    cat, astronaut = Image.fromarray(skimage.data.chelsea()), Image.fromarray(skimage.data.astronaut())
    return [
        _encode("cat", cat, "JPEG", quality=90),
        _encode("cat large", cat.resize((1504, 1000)), "JPEG", quality=85),
        _encode("cat small", cat.resize((90, 60)), "PNG"),
        _encode("astronaut tall", astronaut.crop((60, 0, 360, 500)), "WEBP", quality=80),
        _encode("astronaut on its side", astronaut.crop((0, 0, 400, 300)), "JPEG", sideways=True),
        _encode("coins, grey", Image.fromarray(skimage.data.coins()), "TIFF"),
        _encode("disc, transparent", _draw_disc(320, 200), "PNG"),
        _encode("noise", _draw_noise(211, 157), "BMP"),
    ]


def _encode(name: str, picture: Image.Image, kind: str, *, sideways: bool = False, **settings: int) -> Photo:
    buffer = io.BytesIO()
    if sideways:
        exif = Image.Exif()
        exif[0x0112] = 6  # orientation: to be turned a quarter clockwise
        picture.save(buffer, kind, exif=exif, **settings)
    else:
        picture.save(buffer, kind, **settings)
    size_wh = picture.size[::-1] if sideways else picture.size
    return Photo(name, buffer.getvalue(), f"image/{kind.lower()}", size_wh)


def _draw_disc(width: int, height: int) -> Image.Image:
    rows, columns = np.mgrid[:height, :width]
    inside = (rows - height / 2) ** 2 + (columns - width / 3) ** 2 < (height / 3) ** 2
    rgba = np.where(inside[..., None], (200, 90, 30, 255), (60, 140, 60, 128)).astype(np.uint8)  # (H, W, 4)
    return Image.fromarray(rgba)


def _draw_noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))
