"""The journal as one COCO file, written line by line: no more than one photo is in memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from weakseg import __version__
from weakseg.batch.journal import Journal, State

FILE_NAME = "coco.json"
ANNOTATIONS_PER_IMAGE = 1000  # ids of annotations: image id times this, plus the segment's place
_NOTE = (
    "One annotation per label of a photo, not per object. Sizes, boxes and masks are those of the upright photo: EXIF"
    " rotation is applied. Values of masks/ are category ids."
)


def write_coco(folder: Path, journal: Journal, model: dict[str, Any], asked: dict[str, Any]) -> dict[int, str]:
    """``folder/coco.json``, whole or not at all, of all photos that are done.

    Args:
        model: What answered: model, version, method, legend ...
        asked: Options of the run.
    Returns:
        Every category's name by its id.
    """
    categories = {entry["value"]: entry["label"] for entry in model.get("legend", [])}
    draft = folder / f".{FILE_NAME}.part"
    with draft.open("w", encoding="utf-8") as file:
        info = {
            "description": _NOTE,
            "version": f"weakseg {__version__}",
            "model": {name: value for name, value in model.items() if name != "legend"},
            "options": asked,
        }
        file.write(f'{{"info": {json.dumps(info)},\n"licenses": [],\n"images": [')
        file.writelines(_separated(map(_image, _done(journal, categories))))
        file.write('\n],\n"annotations": [')
        file.writelines(_separated(line for found in _done(journal, categories) for line in _annotations(found)))
        file.write('\n],\n"categories": [')
        file.writelines(_separated({"id": number, "name": categories[number]} for number in sorted(categories)))
        file.write("\n]}\n")
    draft.replace(folder / FILE_NAME)
    return dict(sorted(categories.items()))


def _done(journal: Journal, categories: dict[int, str]) -> Iterator[dict[str, Any]]:
    for name, record in journal.results(State.DONE):
        categories.update((segment["category_id"], segment["label"]) for segment in record["segments"])
        yield {**record, "name": name}


def _image(record: dict[str, Any]) -> dict[str, Any]:
    image = {"id": record["done"], "file_name": record["name"], "width": record["width"], "height": record["height"]}
    return image | ({"warnings": record["warnings"]} if record["warnings"] else {})


def _annotations(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Of labels that have pixels."""
    for place, segment in enumerate(record["segments"], start=1):
        if segment["area"]:
            annotation = {
                "id": record["done"] * ANNOTATIONS_PER_IMAGE + place,
                "image_id": record["done"],
                "category_id": segment["category_id"],
                "segmentation": segment["rle"],
                "area": segment["area"],
                "bbox": segment["bbox"],
                "iscrowd": 0,
            }
            yield annotation | ({} if segment["score"] is None else {"score": segment["score"]})


def _separated(documents: Iterable[dict[str, Any]]) -> Iterator[str]:
    for place, document in enumerate(documents):
        yield (",\n" if place else "\n") + json.dumps(document, separators=(",", ":"))
