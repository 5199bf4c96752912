"""One mask in COCO's terms: run-length encoding, polygons, bounding box, area."""

from __future__ import annotations

from typing import TypedDict

import cv2
import numpy as np
from cv2.typing import MatLike
from pycocotools import mask as coco_mask

from weakseg.types import Box, Mask

Ring = list[list[int]]  # [[x, y], ...], not closed: the last point joins the first

_TOLERANCE_PX = 0.75  # the corners of a 45 degree staircase stand 0.71 px off the straight line
_AREA_TOLERANCE = 0.05


class Rle(TypedDict):
    size: list[int]  # [H, W]
    counts: str


class Polygon(TypedDict):
    exterior: Ring
    holes: list[Ring]


def encode_rle(mask: Mask) -> Rle:
    """COCO's compressed run-length encoding of an (H, W) mask, ready for JSON."""
    columns = cv2.transpose(mask.view(np.uint8))  # (W, H): COCO counts down the columns
    rle = coco_mask.encode(np.asarray(columns).T)
    return {"size": [int(length) for length in rle["size"]], "counts": rle["counts"].decode("ascii")}


def decode_rle(rle: Rle) -> Mask:
    """The (H, W) mask of COCO's compressed run-length encoding: the inverse of `encode_rle`.

    pycocotools' own decoder calls NumPy in a way that NumPy 2 deprecates.
    """
    lengths: list[int] = []
    number = digits = 0
    for code in rle["counts"].encode("ascii"):
        number |= (code - 48 & 31) << 5 * digits  # five bits a character, the lowest first
        digits += 1
        if code - 48 & 32:
            continue
        if code - 48 & 16:
            number -= 1 << 5 * digits
        lengths.append(number + (lengths[-2] if len(lengths) > 2 else 0))  # the difference to the last but one
        number = digits = 0
    height, width = rle["size"]
    runs = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return runs.reshape(width, height).T  # COCO counts down the columns


def find_polygons(mask: Mask) -> list[Polygon]:
    """Outlines of an (H, W) mask: one polygon per 8-connected part; an island within a hole is a polygon of its own.

    Corners are whole pixels: pixel (x, y) covers the square from (x, y) to (x + 1, y + 1), as in COCO, so that filling
    the exterior and taking away the holes gives the mask back, specks of one pixel included. (OpenCV's contours run
    through the pixel centres, half a pixel inside.) Small and thin rings are exact; on large ones slanting staircases
    are straightened, which halves the points and leaves an IoU of 0.99. Parts that touch at a corner make a ring that
    touches itself there: fill even-odd.
    """
    box = bounding_box(mask)
    if box is None:
        return []
    part = np.ascontiguousarray(mask[box.slices]).view(np.uint8)  # (h, w): outlines leave this part nowhere
    doubled = cv2.resize(part, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)  # (2h, 2w)
    corner = (2 * box.x0, 2 * box.y0)
    contours, hierarchy = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=corner)
    polygons: dict[int, Polygon] = {}
    parents = [] if hierarchy is None else hierarchy[0, :, 3].tolist()
    rings = [_simplify(_snap_to_edges(contour)) for contour in contours]
    for index, parent in enumerate(parents):
        if parent < 0:
            polygons[index] = {"exterior": rings[index], "holes": []}
    for index, parent in enumerate(parents):
        if parent >= 0:
            polygons[parent]["holes"].append(rings[index])
    return list(polygons.values())


def bounding_box(mask: Mask) -> Box | None:
    """The smallest box around all set pixels of an (H, W) mask; None where none is set."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return None
    return Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def area_px(mask: Mask) -> int:
    """Number of set pixels."""
    return int(np.count_nonzero(mask))


def _snap_to_edges(contour: MatLike) -> MatLike:
    """Contour through the centres of the doubled mask, (N, 1, 2), to the corners of the mask's own pixels.

    An even coordinate 2x lies beside the left edge x of pixel x, an odd one 2x + 1 beside its right edge x + 1.
    """
    return (contour + 1) // 2  # (N, 1, 2)


def _simplify(outline: MatLike) -> Ring:
    """Closed outline (N, 1, 2) without needless points; at least 3 remain."""
    change_px = _TOLERANCE_PX * cv2.arcLength(outline, True)  # at most
    is_large = change_px <= _AREA_TOLERANCE * cv2.contourArea(outline)
    points: Ring = cv2.approxPolyDP(outline, _TOLERANCE_PX if is_large else 0, True)[:, 0].tolist()
    return points
