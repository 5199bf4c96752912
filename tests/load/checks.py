"""Whether an answer's body is right: status alone says little. Each check returns the first fault, or None."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

PICTURE_MODES = {"mask": "P", "cutout": "RGBA", "overlay": "RGB", "heatmap": "RGB"}
# Rounding differs from batch to batch, so that a pixel whose map lies on a threshold may fall on either side of it.
# These shares of a photo's pixels may change; an overlay draws lines and a name around each.
UNSTEADY_SHARES = {"mask": 0.001, "cutout": 0.001, "overlay": 0.05, "json": 0.001}
JSON_FIELDS = {"model", "version", "method", "image", "scores", "segments", "options", "timings_ms", "warnings"}
STAGES = {"decode", "forward", "maps", "refine", "encode", "total"}
ERROR_FIELDS = {"code", "field", "message", "remedy"}


def find_fault(chosen: str, size_wh: tuple[int, int], body: bytes, headers: Mapping[str, str]) -> str | None:
    """What is wrong with a 200's body.

    Args:
        chosen: The format that was asked for.
        size_wh: The photo's upright width and height.
        headers: Of the answer; names as the service writes them, or in any case where the mapping allows it.
    """
    try:
        if chosen == "json":
            return _json_fault(size_wh, json.loads(body))
        if chosen == "npz":
            return _npz_fault(size_wh, body, headers)
        return _picture_fault(chosen, size_wh, body, headers)
    except (ValueError, KeyError, OSError, zipfile.BadZipFile, zlib.error) as error:
        return f"{chosen} cannot be read: {error!r}"


def find_id_fault(sent: str, headers: Mapping[str, str]) -> str | None:
    """Whether an answer is the one to this request, by the id that the request brought along."""
    returned = headers.get("X-Request-Id")
    return None if returned == sent else f"request id {returned} instead of {sent}: another request's answer"


def find_refusal_fault(status: int, body: bytes, headers: Mapping[str, str]) -> str | None:
    """What is wrong with the answer of a service that has too much to do: 503, when to come again, and why."""
    if status != 503:
        return f"status {status} instead of 503"
    if not headers.get("Retry-After", "").isdigit():
        return f"Retry-After is {headers.get('Retry-After')!r}"
    try:
        code = json.loads(body)["error"]["code"]
    except (ValueError, KeyError, TypeError) as problem:
        return f"no error body: {problem!r}"
    return find_error_fault(503, code, status, body)


def find_change(chosen: str, first: bytes, body: bytes) -> str | None:
    """How the bodies of two 200s to one request differ, beyond what another make-up of their batches may change.

    Args:
        chosen: The format that was asked for; heat maps and npz may always differ in their last digit.
    """
    if chosen not in UNSTEADY_SHARES:
        return None
    share = _changed_areas(first, body) if chosen == "json" else _changed_pixels(first, body)
    if share <= UNSTEADY_SHARES[chosen]:
        return None
    return f"another {chosen} than the same request got before: {share:.2%} of the pixels changed"


def find_error_fault(status: int, code: str, actual_status: int, body: bytes) -> str | None:
    """What is wrong with the answer to a bad request that ought to get this status and this code."""
    if actual_status != status:
        return f"status {actual_status} instead of {status}"
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError) as problem:
        return f"no error body: {problem!r}"
    if set(error) != ERROR_FIELDS or not all(isinstance(text, str) for text in error.values()):
        return f"error body has {sorted(error)}"
    if error["code"] != code:
        return f"code {error['code']} instead of {code}"
    return None if error["message"] and error["remedy"] else "no message or no remedy"


def _changed_pixels(first: bytes, body: bytes) -> float:
    """Share of pixels that differ in any channel; 1 where the sizes do."""
    before, now = (np.atleast_3d(np.asarray(Image.open(io.BytesIO(picture)))) for picture in (first, body))  # (H, W, N)
    return float((before != now).any(2).mean()) if before.shape == now.shape else 1.0


def _changed_areas(first: bytes, body: bytes) -> float:
    """The largest change of a segment's area, as a share of the photo; 1 where the segments are others."""
    before, now = json.loads(first), json.loads(body)
    areas, new_areas = ({s["label"]: s["area_px"] for s in document["segments"]} for document in (before, now))
    if before["image"] != now["image"] or areas.keys() != new_areas.keys():
        return 1.0
    largest = max((abs(new_areas[label] - area) for label, area in areas.items()), default=0)
    return float(largest / (now["image"]["width"] * now["image"]["height"]))


def _picture_fault(chosen: str, size_wh: tuple[int, int], body: bytes, headers: Mapping[str, str]) -> str | None:
    with Image.open(io.BytesIO(body)) as picture:
        picture.load()
    if picture.format != "PNG" or picture.mode != PICTURE_MODES[chosen]:
        return f"{chosen} is {picture.format} {picture.mode}"
    if picture.size != size_wh:
        return f"{chosen} is {picture.size}, the photo {size_wh}"
    return _areas_fault(np.asarray(picture), headers) if chosen == "mask" else None


def _areas_fault(mask: np.ndarray, headers: Mapping[str, str]) -> str | None:
    """The mask's values against what the header says of each segment."""
    told = {segment["value"]: segment["area_px"] for segment in json.loads(headers["X-Weakseg-Segments"])}
    counted = {value: int((mask == value).sum()) for value in told}
    if told != counted or not set(np.unique(mask)) <= {0, *told}:
        return f"mask has {counted} pixels, the header says {told}"
    return None


def _npz_fault(size_wh: tuple[int, int], body: bytes, headers: Mapping[str, str]) -> str | None:
    with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
        maps, label_map, labels = arrays["maps"], arrays["label_map"], arrays["labels"]
    if maps.shape != (len(labels), *size_wh[::-1]) or label_map.shape != size_wh[::-1]:
        return f"npz has maps {maps.shape} and a label map {label_map.shape}, the photo is {size_wh}"
    if not (maps.min() >= 0 and maps.max() <= 1):
        return f"maps reach from {maps.min()} to {maps.max()}"
    return _areas_fault(label_map, headers)


def _json_fault(size_wh: tuple[int, int], document: Mapping[str, object]) -> str | None:
    if missing := JSON_FIELDS - set(document):
        return f"JSON lacks {sorted(missing)}"
    if document["image"] != {"width": size_wh[0], "height": size_wh[1]}:
        return f"JSON says {document['image']}, the photo is {size_wh}"
    if set(document["timings_ms"]) != STAGES:
        return f"timings of {sorted(document['timings_ms'])}"
    faults = (_segment_fault(size_wh, segment) for segment in document["segments"])
    return next((fault for fault in faults if fault), None)


def _segment_fault(size_wh: tuple[int, int], segment: Mapping[str, object]) -> str | None:
    """A segment's run lengths against its own size, area and box."""
    rle = segment["rle"]
    if rle["size"] != [size_wh[1], size_wh[0]]:
        return f"RLE is of size {rle['size']}, the photo {size_wh}"
    if (area := int(coco_mask.area(rle))) != segment["area_px"]:
        return f"RLE covers {area} pixels, area_px says {segment['area_px']}"
    x, y, width, height = (int(length) for length in coco_mask.toBbox(rle))
    box = [x, y, x + width, y + height] if area else None
    return None if box == segment["box"] else f"RLE lies in {box}, box says {segment['box']}"
