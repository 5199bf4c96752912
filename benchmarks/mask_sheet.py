"""A sheet of photos for the eye: one row each, with its true mask and what every network says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from training.photos import read_pixels
from training.samples import draw_labels, stack
from weakseg.evaluation.counting import Plan
from weakseg.evaluation.folder_records import ask_for_all
from weakseg.evaluation.folders import FolderSample
from weakseg.pipeline import Pipeline
from weakseg.types import LabelMap, Rgb

Pipelines = Mapping[str, Pipeline]
Item = TypeVar("Item")


def choose_some(samples: Sequence[Item], count: int) -> list[Item]:
    """Evenly spaced ones."""
    numbers = np.linspace(0, len(samples) - 1, min(count, len(samples))).round().astype(int)
    return [samples[number] for number in numbers]


def draw_sheet(pipelines: Pipelines, samples: Sequence[FolderSample], path: Path) -> None:
    """A PNG, with masks as the networks make them, without refinement. It shows the photos: mind their licence."""
    limits = next(iter(pipelines.values())).limits
    pairs = (sample.read(limits) for sample in samples)
    _save([_draw_row(pipelines, rgb, {"truth": truth}) for rgb, truth in pairs], path)


def draw_photos(pipelines: Pipelines, photos: Sequence[Path], path: Path) -> None:
    """The same of photos whose truth nobody knows."""
    _save([_draw_row(pipelines, read_pixels(photo), {}) for photo in photos], path)


def _draw_row(pipelines: Pipelines, rgb: Rgb, known: Mapping[str, LabelMap]) -> Rgb:
    found = {name: predict(pipeline, rgb) for name, pipeline in pipelines.items()}
    return draw_labels(rgb, {**known, **found})


def _save(rows: Sequence[Rgb], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(stack(rows)).save(path)


def predict(pipeline: Pipeline, rgb: Rgb) -> LabelMap:
    """(H, W) uint8: all classes asked for at once."""
    options = ask_for_all(Plan(pipeline.card.classes, {"refine": "none"}))
    (segmentation,) = pipeline.segment([rgb], [options])
    return segmentation.label_map
