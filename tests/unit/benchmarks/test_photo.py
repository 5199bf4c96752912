from __future__ import annotations

import io

from PIL import Image

from benchmarks.photo import benchmark_photo


def test_the_photo_is_the_same_each_time() -> None:
    assert benchmark_photo() == benchmark_photo()


def test_the_photo_is_a_jpeg_of_500_by_375() -> None:
    with Image.open(io.BytesIO(benchmark_photo())) as photo:
        photo.load()
    assert (photo.format, photo.mode, photo.size) == ("JPEG", "RGB", (500, 375))
