"""Photos that carry a number which their masks repeat: an answer shows by itself whose it is.

A photo's stripes are red for a one, green for a zero, highest bit first; `OddsNet` labels each pixel by its colour. Its
height depends on the number, too, so that photos of one batch differ in size.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

BITS = 16
STRIPE_PX = 5
WIDTH = BITS * STRIPE_PX  # 80: OddsNet sees photos of up to 128 pixels as they are
OPTIONS = {"classes": "red,green", "refine": "none", "format": "mask"}  # red pixels get 1, green ones 2


def height_of(number: int) -> int:
    return 21 + number % 23


def make_photo(number: int) -> bytes:
    """A PNG of WIDTH x height_of(number) pixels. Args: number: in [0, 2 ** BITS)."""
    palette = np.uint8([[0, 0, 0], [255, 0, 0], [0, 255, 0]])
    rgb = palette[make_mask(number)]  # (H, W, 3)
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def make_mask(number: int) -> NDArray[np.uint8]:
    """(H, W) of the photo: 1 where it is red, 2 where it is green."""
    if not 0 <= number < 2**BITS:
        raise ValueError(f"{number} does not fit {BITS} bits")
    bits = [1 if number >> (BITS - 1 - place) & 1 else 2 for place in range(BITS)]
    row = np.repeat(np.uint8(bits), STRIPE_PX)  # (W,)
    return np.tile(row, (height_of(number), 1))


def read_number(mask_png: bytes) -> int:
    """Whose mask this is.

    Raises:
        ValueError: nobody's: its pixels or its size are those of no numbered photo.
    """
    with Image.open(io.BytesIO(mask_png)) as picture:
        mask = np.asarray(picture)
    if mask.ndim != 2 or mask.shape[1] != WIDTH:
        raise ValueError(f"a mask of shape {mask.shape} is no numbered photo's")
    bits = mask[0, STRIPE_PX // 2 :: STRIPE_PX]  # (BITS,)
    number = int("".join("1" if bit == 1 else "0" for bit in bits), 2)
    if not np.array_equal(mask, make_mask(number)):
        raise ValueError(f"the mask begins as that of photo {number}, and goes on otherwise")
    return number
