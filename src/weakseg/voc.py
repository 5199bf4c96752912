"""PASCAL VOC 2012: class names, palette, and which ImageNet-1k classes belong to each VOC class.

The translation follows the ImageNet hierarchy (the paper, section 5.3: "meaningful ImageNet classes subset to more
general classes, in a cladogram fashion"): a VOC class owns the ImageNet classes below it in WordNet.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

VOC_CLASSES: tuple[str, ...] = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
ANIMALS: tuple[str, ...] = ("cat", "cow", "dog", "horse", "sheep")
VOID = 255

# Inclusive ranges of ImageNet-1k indices.
_IMAGENET_RANGES: dict[str, str] = {
    "aeroplane": "404 895",
    "bicycle": "444 671",
    "bird": "7-24 80-100 127-146",
    "boat": "472 484 510 554 576 625 628 724 780 814 871 914",
    "bottle": "440 720 737 898 907",
    "bus": "654 779 874",
    "car": "407 436 468 511 609 627 656 661 717 751 817",
    "cat": "281-285",
    "chair": "423 559 765",
    "cow": "345",
    "diningtable": "532",
    "dog": "151-268",
    "horse": "339",
    "motorbike": "665 670",
    "person": "981-983",
    "pottedplant": "738",
    "sheep": "348-349",
    "sofa": "831",
    "train": "466 547 705 820",
    "tvmonitor": "664 782 851",
}


def voc_groups() -> dict[str, list[int]]:
    """VOC class name to its ImageNet-1k indices, ascending."""
    groups = {}
    for name, ranges in _IMAGENET_RANGES.items():
        bounds = [[int(end) for end in part.split("-")] for part in ranges.split()]
        groups[name] = [index for ends in bounds for index in range(ends[0], ends[-1] + 1)]
    return groups


def palette(size: int = 256) -> NDArray[np.uint8]:
    """The VOC colour map: (size, 3) uint8 RGB. Index 0 is black; the bits of an index spread over the channels."""
    index = np.arange(size)[:, None]  # (size, 1)
    channel = np.arange(3)[None, :]  # (1, 3)
    colours = np.zeros((size, 3), np.uint8)
    for bit in range(8):
        colours |= (((index >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    return colours
