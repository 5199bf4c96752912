"""Masks by a weak method, for photos whose classes are known: what a team has that never drew one.

The bridge from image labels to pixel networks: a model of the store (class activation maps, gradients, refinement) is
asked for the classes that each photo's label names, and its answer is kept as the mask to learn from. No true mask is
looked at here. A model's settings are another matter: those of ``weakseg`` (threshold, CRF) were chosen on the 437
drawn masks of VOC's ``train_official``, whose photos are in ``train``.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from training.labels import Photo, read_splits
from training.masks.made_by import claim
from training.photos import read_photo
from training.recipe import Recipe
from weakseg.archive import find_archive, open_archive
from weakseg.card import ModelCard
from weakseg.errors import DataError
from weakseg.evaluation.evaluator import ArchiveOpener, open_once
from weakseg.evaluation.workers import Workers, count_cores
from weakseg.labels import Vocabulary
from weakseg.options import parse_options
from weakseg.types import LabelMap, Segmentation
from weakseg.voc import VOC_CLASSES, palette


@dataclass(frozen=True, slots=True)
class WeakOrder:
    """What is wanted.

    Args:
        voc: Holds VOCdevkit/VOC2012, or is that folder; its image labels are read, and no mask.
        split: Of ImageSets.
        model: Name in ``store``, or path of an archive.
        classes: VOC classes to ask for; others that a photo shows stay background.
        options: Of every request, as text.
        out: Folder of the masks; those that it has are kept, if they were made in the same way.
    """

    voc: Path
    split: str
    model: str
    store: Path
    classes: tuple[str, ...]
    options: dict[str, str]
    out: Path


def make_weak_masks(order: WeakOrder, *, jobs: int | None = None) -> tuple[int, Iterator[Path]]:
    """Masks as PNGs of VOC's values, ``out/NAME.png``, one per photo.

    Returns:
        How many are still to be made; and each path, as it is written.
    Raises:
        DataError: no such data, or masks in ``out`` that were made otherwise. ModelError: no such archive.
            RequestError: a wrong option, or a class that the model has not.
    """
    recipe = Recipe(network="demo", format="voc", train_split=order.split, val_split=order.split)
    photos = read_splits(order.voc, recipe).train
    archive = find_archive(order.model, order.store)
    card = open_archive(archive).card
    _check(order, card.vocabulary())
    claim(order.out, describe(order, card))
    waiting = [photo for photo in photos if not _mask_path(order, photo).is_file()]
    return len(waiting), _make(order, waiting, ArchiveOpener(archive), jobs or count_cores())


def describe(order: WeakOrder, card: ModelCard) -> dict[str, Any]:
    """Whatever a mask depends on, beside its photo and its label; JSON-ready.

    Settings are those in force, so that the card's defaults count too.
    """
    return {
        "model": card.name,
        "weights_sha256": card.weights.sha256,
        "graph": card.graph,
        "input_hw": [card.preprocessing.height, card.preprocessing.width],
        "sides": list(card.sides),
        "settings": card.settings(parse_options(order.options)).model_dump(mode="json", exclude_none=True),
        "classes": sorted(set(order.classes)),
        "options": order.options,
        "split": order.split,
    }


def to_voc_values(segmentation: Segmentation) -> LabelMap:
    """(H, W) uint8: the numbers of an answer's segments become VOC's: 0 background, 1 to 20 VOC_CLASSES in order."""
    values = np.zeros(256, np.uint8)
    for segment in segmentation.segments:
        values[segment.value] = 1 + VOC_CLASSES.index(segment.label)
    return values[segmentation.label_map]  # (H, W)


def _check(order: WeakOrder, vocabulary: Vocabulary) -> None:
    unknown = [name for name in order.classes if name not in VOC_CLASSES]
    if unknown:
        raise DataError(f"classes has {unknown[0]!r}: VOC's classes are {', '.join(VOC_CLASSES)}.")
    parse_options({**order.options, "classes": list(order.classes)})
    for name in order.classes:
        vocabulary.resolve(name)


def _make(order: WeakOrder, photos: Sequence[Photo], opener: ArchiveOpener, jobs: int) -> Iterator[Path]:
    with Workers(max(1, min(jobs, len(photos)))) as workers:
        yield from workers.map(functools.partial(_make_one, opener, order), photos)


def _make_one(opener: ArchiveOpener, order: WeakOrder, photo: Photo) -> Path:
    rgb = read_photo(photo)
    asked = [name for name in photo.labels if name in order.classes]
    labels = np.zeros(rgb.shape[:2], np.uint8)
    if asked:
        (segmentation,) = open_once(opener).segment([rgb], [parse_options({**order.options, "classes": asked})])
        labels = to_voc_values(segmentation)
    return _write(labels, _mask_path(order, photo))


def _mask_path(order: WeakOrder, photo: Photo) -> Path:
    return order.out / f"{photo.path.stem}.png"


def _write(labels: LabelMap, path: Path) -> Path:
    """Whole or not at all: a file that is there is not made again."""
    picture = Image.fromarray(labels)
    picture.putpalette(palette().tobytes())
    partial = path.with_suffix(".part")
    picture.save(partial, "PNG")
    return partial.replace(path)
