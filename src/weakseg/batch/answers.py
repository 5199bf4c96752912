"""What a JSON answer says of a photo, checked and reduced to what is kept; and the mask that it makes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from weakseg.batch.items import Failure
from weakseg.codec.coco import decode_rle

MOST_INDEXED = 254  # above, values do not fit beside void's 255


class UnreadableAnswerError(Exception):
    """An answer that weakseg cannot have made."""


def read_answer(body: bytes) -> dict[str, Any]:
    """Size, segments and warnings of an answer in format json.

    Returns:
        ``width``, ``height``; ``segments``, each with ``category_id``, ``label``, ``score``, ``area``, ``bbox`` (COCO's
        x, y, width, height; None if it is empty) and ``rle``; ``warnings``; ``model``: what answered.
    Raises:
        UnreadableAnswerError: fields are missing, or masks contradict their sizes.
    """
    try:
        told = json.loads(body)
        height, width = told["image"]["height"], told["image"]["width"]
        return {
            "width": width,
            "height": height,
            "segments": [_read_segment(segment, (height, width)) for segment in told["segments"]],
            "warnings": told["warnings"],
            "model": {
                **{name: told[name] for name in ("model", "version", "method", "network", "demonstration")},
                "legend": told.get("legend", []),
            },
        }
    except UnreadableAnswerError:
        raise
    except Exception as error:  # bytes from elsewhere make json, pycocotools and lookups raise nearly anything
        raise UnreadableAnswerError(f"{type(error).__name__}: {error}") from error


def _read_segment(segment: dict[str, Any], hw: tuple[int, int]) -> dict[str, Any]:
    rle, box, area = segment["rle"], segment["box"], segment["area_px"]
    if tuple(rle["size"]) != hw or int(coco_mask.area(rle)) != area:
        raise UnreadableAnswerError(f"the run lengths of {segment['label']!r} are not of its size and area")
    return {
        "category_id": segment["category_id"],
        "label": segment["label"],
        "score": segment["score"],
        "area": area,
        "bbox": None if box is None else [box[0], box[1], box[2] - box[0], box[3] - box[1]],
        "rle": rle,
    }


def unreadable(error: UnreadableAnswerError) -> Failure:
    return Failure(
        "answer_unreadable",
        f"the answer is none of weakseg's: {error}.",
        "Check that --url is a weakseg service of this version.",
        status=200,
        transient=True,
    )


def label_map(record: dict[str, Any]) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """(H, W): 0, or the category id of each pixel; uint8 where all of them fit beside void's 255.

    Args:
        record: Of `read_answer`. Its segments do not overlap.
    Raises:
        UnreadableAnswerError: run lengths do not fill the photo.
    """
    largest = max((segment["category_id"] for segment in record["segments"]), default=0)
    values = np.zeros((record["height"], record["width"]), np.uint8 if largest <= MOST_INDEXED else np.uint16)
    for segment in record["segments"]:
        try:
            mask = decode_rle(segment["rle"])  # (H, W)
        except ValueError as error:
            raise UnreadableAnswerError(f"the run lengths of {segment['label']!r}: {error}") from error
        values[mask] = segment["category_id"]
    return values
