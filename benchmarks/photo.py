"""The photo that every benchmark sends: scikit-image's cat as a JPEG of 500 x 375 pixels, VOC's usual size."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated

import typer

WIDTH, HEIGHT = 500, 375
QUALITY = 90


def benchmark_photo() -> bytes:
    """The JPEG; the same bytes each time (with the same version of Pillow)."""
    import skimage.data  # here: benchmarks choose their cores before they load anything large
    from PIL import Image, ImageOps

    photo = Image.fromarray(skimage.data.chelsea())
    photo = ImageOps.fit(photo, (WIDTH, HEIGHT), Image.Resampling.LANCZOS)  # the middle, at 4:3
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def main(out: Annotated[Path, typer.Argument(help="File to write.")] = Path("out/benchmark.jpg")) -> None:
    """Write the benchmark photo to a file, to look at it or to send it by hand."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(benchmark_photo())
    print(f"{out}: {WIDTH} x {HEIGHT}, {out.stat().st_size:,} bytes")


if __name__ == "__main__":
    typer.run(main)
