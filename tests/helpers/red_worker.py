"""A worker without a network: red is the object. Its answers are encoded as real workers encode theirs."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
from PIL import Image

from tests.helpers.fake_torchserve import FakeAnswer, Seen, worker_error
from weakseg.codec.coco import encode_rle
from weakseg.codec.pictures import encode_cutout, encode_mask

LABEL = "red"


def photo(width: int, height: int, red: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """(H, W, 3) uint8: green, with red columns from ``red[0]`` to ``red[1]``."""
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[:, :, 1] = 200
    rgb[:, red[0] : red[1]] = (250, 10, 20)
    return rgb


def encoded(rgb: np.ndarray[Any, np.dtype[np.uint8]], kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, kind)
    return buffer.getvalue()


def red_mask(rgb: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """(H, W) uint8: 1 where the photo is red."""
    return (rgb[:, :, 0] > 128).astype(np.uint8)


def answer_red(seen: Seen) -> FakeAnswer:
    """Mask, cut-out or document of one photo; a 415 for what is no picture, a 400 for ``classes=blue``."""
    try:
        rgb = np.asarray(Image.open(io.BytesIO(seen.image or b"")).convert("RGB"))
    except OSError:
        return worker_error(415, "image_unreadable")
    if seen.head.options.get("classes") == "blue":
        return worker_error(400, "class_unknown")
    mask = red_mask(rgb)
    segment = {"value": 1, "label": LABEL, "score": 0.5, "area_px": int(mask.sum())}
    headers = {"X-Weakseg-Model": "weakseg", "X-Weakseg-Version": "1.0", "X-Weakseg-Segments": json.dumps([segment])}
    chosen = seen.head.options.get("format", "json" if seen.head.accept == "application/json" else "mask")
    if chosen == "json":
        height, width = mask.shape
        document = {"image": {"width": width, "height": height}, "segments": [segment | {"rle": encode_rle(mask == 1)}]}
        del headers["X-Weakseg-Segments"]
        return FakeAnswer(200, json.dumps(document).encode(), "application/json", headers)
    made = encode_cutout(rgb, mask) if chosen == "cutout" or seen.head.explain else encode_mask(mask)
    return FakeAnswer(200, made, "image/png", headers)
