"""Reading photos, masks and boxes of a folder in VOC's layout, the one of ``torchvision.datasets.VOCSegmentation``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from weakseg.codec.decode import Limits, decode_image
from weakseg.errors import DataError, RequestError
from weakseg.types import Box, Rgb
from weakseg.voc import VOC_CLASSES, VOID

YEAR_FOLDER = Path("VOCdevkit", "VOC2012")
BOXES_FILE = "boxes.json"


@dataclass(frozen=True, slots=True)
class LabelledBox:
    name: str  # one of VOC_CLASSES
    box: Box


@dataclass(frozen=True, slots=True)
class Sample:
    """One photo of a split, not yet read."""

    image_id: str
    photo: Path
    mask: Path
    boxes: tuple[LabelledBox, ...]

    def read(self, limits: Limits) -> tuple[Rgb, NDArray[np.uint8]]:
        """Photo (H, W, 3) uint8 RGB, and mask (H, W) uint8: 0 background, 1 to 20 VOC_CLASSES in order, 255 void.

        Raises:
            DataError: a broken file, a mask without class numbers, or the two differ in size.
        """
        try:
            rgb = decode_image(self.photo.read_bytes(), limits)
        except RequestError as error:
            raise DataError(f"{self.photo}: {error.message}") from error
        mask = _read_mask(self.mask)
        if mask.shape != rgb.shape[:2]:
            raise DataError(
                f"{self.image_id}: the photo is {rgb.shape[1]} x {rgb.shape[0]} pixels,"
                f" its mask {mask.shape[1]} x {mask.shape[0]}. Make both the same size."
            )
        return rgb, mask


def read_split(folder: Path, split: str) -> list[Sample]:
    """The samples of one split, in the order of its list.

    Boxes come from ``boxes.json`` (``{image id: [{"class", "bbox_xyxy"}]}``, pixels, x1 and y1 exclusive) or, in an
    original VOC, from ``Annotations/*.xml`` (counted from 1, last pixel inclusive).

    Args:
        folder: Holds ``VOCdevkit/VOC2012``, or is that folder.
    Raises:
        DataError: what is missing, and where.
    """
    root = find_root(folder)
    ids = _read_ids(root, split)
    boxes = _read_boxes(root, ids)
    samples = [
        Sample(
            image_id,
            root / "JPEGImages" / f"{image_id}.jpg",
            root / "SegmentationClass" / f"{image_id}.png",
            boxes[image_id],
        )
        for image_id in ids
    ]
    missing = [path for sample in samples for path in (sample.photo, sample.mask) if not path.is_file()]
    if missing:
        raise DataError(f"{len(missing)} files of split {split!r} are missing, first {missing[0]}.")
    return samples


def find_root(folder: Path) -> Path:
    """The folder that holds ``ImageSets``. Raises: DataError."""
    for root in (folder / YEAR_FOLDER, folder):
        if (root / "ImageSets" / "Segmentation").is_dir():
            return root
    raise DataError(
        f"{folder} is no VOC folder: neither {folder / YEAR_FOLDER} nor {folder} has ImageSets/Segmentation,"
        " JPEGImages and SegmentationClass."
    )


def _read_ids(root: Path, split: str) -> list[str]:
    lists = root / "ImageSets" / "Segmentation"
    path = lists / f"{split}.txt"
    if not path.is_file():
        known = ", ".join(sorted(other.stem for other in lists.glob("*.txt"))) or "none"
        raise DataError(f"No split {split!r}: {path} is missing. {lists} has: {known}.")
    ids = path.read_text(encoding="utf-8").split()
    if not ids:
        raise DataError(f"{path} names no image.")
    return list(dict.fromkeys(ids))


def _read_boxes(root: Path, ids: list[str]) -> dict[str, tuple[LabelledBox, ...]]:
    path = root / BOXES_FILE
    if path.is_file():
        return _read_json_boxes(path, ids)
    if (root / "Annotations").is_dir():
        return {image_id: tuple(_read_xml_boxes(root / "Annotations" / f"{image_id}.xml")) for image_id in ids}
    raise DataError(f"{root} has no boxes: neither {BOXES_FILE} nor Annotations. The object task needs them.")


def _read_json_boxes(path: Path, ids: list[str]) -> dict[str, tuple[LabelledBox, ...]]:
    try:
        document: dict[str, list[dict[str, Any]]] = json.loads(path.read_text(encoding="utf-8"))
        return {
            image_id: tuple(
                _labelled_box(item["class"], item["bbox_xyxy"], path) for item in document.get(image_id, [])
            )
            for image_id in ids
        }
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f'{path} is not {{image id: [{{"class", "bbox_xyxy"}}]}}: {error!r}.') from error


def _read_xml_boxes(path: Path) -> Iterator[LabelledBox]:
    try:
        for item in ElementTree.parse(path).getroot().iter("object"):
            x0, y0, x1, y1 = (float(item.findtext(f"bndbox/{edge}", "")) for edge in ("xmin", "ymin", "xmax", "ymax"))
            yield _labelled_box(item.findtext("name", ""), (x0 - 1, y0 - 1, x1, y1), path)
    except (OSError, ElementTree.ParseError, ValueError) as error:
        raise DataError(f"{path} is not a VOC annotation: {error}.") from error


def _labelled_box(name: str, corners: Any, path: Path) -> LabelledBox:
    if name not in VOC_CLASSES:
        raise DataError(f"{path}: {name!r} is not one of VOC's 20 classes.")
    x0, y0, x1, y1 = (round(float(corner)) for corner in corners)
    return LabelledBox(name, Box(x0, y0, x1, y1))


def _read_mask(path: Path) -> NDArray[np.uint8]:
    try:
        with Image.open(path) as picture:
            if picture.mode not in ("P", "L"):
                raise DataError(f"{path} has mode {picture.mode}; a VOC mask is a palette PNG of class numbers.")
            mask = np.array(picture, np.uint8)  # (H, W)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}.") from error
    if ((mask > len(VOC_CLASSES)) & (mask != VOID)).any():
        raise DataError(f"{path} has values that are neither 0 to {len(VOC_CLASSES)} nor {VOID} (void).")
    return mask
