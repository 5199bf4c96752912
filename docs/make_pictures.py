"""Makes the pictures of the README from scikit-image's photos: ``python docs/make_pictures.py [model_store]``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from numpy.typing import NDArray

from weakseg.archive import find_archive, open_archive
from weakseg.pipeline import Pipeline
from weakseg.runtime import open_runtime
from weakseg.types import Box, RawRequest

WHOLE = Box(0, 0, 100_000, 100_000)
ROWS = (  # model, photo, part of it
    ("weakseg", "chelsea.png", WHOLE),
    ("weakseg", "coffee.png", WHOLE),
    ("weakseg", "motorcycle_left.png", WHOLE),
)
SHEETS = {  # rows; columns: options of a request each, None: the photo itself
    "masks.jpg": (
        (*ROWS, ("hair", "astronaut.png", Box(50, 0, 410, 240))),
        (None, {"format": "heatmap"}, {"format": "overlay"}, {"format": "cutout"}),
    ),
    "crf_engines.jpg": (
        ROWS,
        tuple(
            {"format": "overlay", "refine": "crf", "crf_engine": engine}
            for engine in ("pydensecrf", "exact", "fast", "fastest")
        ),
    ),
}
TILE_WH = (300, 200)
GAP_PX = 6
FOLDER = Path(__file__).parent / "pictures"


def main() -> None:
    store = Path(sys.argv[1] if len(sys.argv) > 1 else "model_store")
    pipelines = {model: open_pipeline(model, store) for model in ("weakseg", "hair")}
    for file, (rows, columns) in SHEETS.items():
        tiles = [
            [draw_tile(pipelines[model], read_part(name, part), column) for column in columns]
            for model, name, part in rows
        ]
        sheet = np.vstack([np.hstack(row) for row in tiles])[GAP_PX:, GAP_PX:]
        cv2.imwrite(str(FOLDER / file), sheet, [cv2.IMWRITE_JPEG_QUALITY, 88])
        print(f"{file}: {sheet.shape[1]} x {sheet.shape[0]}, {(FOLDER / file).stat().st_size // 1024} KiB")


def open_pipeline(model: str, store: Path) -> Pipeline:
    archive = open_archive(find_archive(model, store))
    return Pipeline(archive.card, open_runtime(archive.card, archive.read_file))


def read_part(name: str, part: Box) -> bytes:
    """A part of one of scikit-image's photos, as PNG."""
    photo = cv2.imread(str(Path(skimage.data.__file__).parent / name))[part.slices]
    return cv2.imencode(".png", photo)[1].tobytes()


def draw_tile(pipeline: Pipeline, encoded: bytes, column: Mapping[str, str] | None) -> NDArray[np.uint8]:
    """One picture of the sheet, BGR, with a white gap above and to the left.

    Args:
        encoded: The photo.
        column: Options of the request; None: the photo itself.
    """
    if column is not None:
        (answer,) = pipeline.answer([RawRequest(encoded, dict(column))])
        assert answer.status == 200, answer.body
        encoded = answer.body
    picture = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)
    if picture.shape[2] == 4:
        alpha = picture[..., 3:] / 255
        picture = (picture[..., :3] * alpha + draw_chequers(picture.shape[:2]) * (1 - alpha)).astype(np.uint8)
    tile = cv2.resize(crop_to(picture, TILE_WH), TILE_WH, interpolation=cv2.INTER_AREA)
    return cv2.copyMakeBorder(tile, GAP_PX, 0, GAP_PX, 0, cv2.BORDER_CONSTANT, value=(255, 255, 255)).astype(np.uint8)


def crop_to(picture: NDArray[np.uint8], wh: tuple[int, int]) -> NDArray[np.uint8]:
    """The middle of a picture, in the proportions of ``wh``."""
    height, width = picture.shape[:2]
    scale = min(width / wh[0], height / wh[1])
    crop_w, crop_h = round(wh[0] * scale), round(wh[1] * scale)
    top, left = (height - crop_h) // 2, (width - crop_w) // 2
    return picture[top : top + crop_h, left : left + crop_w]


def draw_chequers(hw: tuple[int, int], cell_px: int = 16) -> NDArray[np.uint8]:
    """(H, W, 1): the usual sign for "transparent"."""
    rows, columns = np.mgrid[: hw[0], : hw[1]] // cell_px
    return np.where((rows + columns) % 2 == 0, 255, 215).astype(np.uint8)[..., None]  # (H, W, 1)


if __name__ == "__main__":
    main()
