"""A sheet of photos for the eye: one row each, with its true mask and what every network says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from training.samples import draw_labels, stack
from weakseg.evaluation.counting import Plan
from weakseg.evaluation.folder_records import ask_for_all
from weakseg.evaluation.folders import FolderSample
from weakseg.pipeline import Pipeline
from weakseg.types import LabelMap, Rgb

Pipelines = Mapping[str, Pipeline]


def choose_samples(samples: Sequence[FolderSample], count: int) -> list[FolderSample]:
    """Evenly spaced ones."""
    numbers = np.linspace(0, len(samples) - 1, min(count, len(samples))).round().astype(int)
    return [samples[number] for number in numbers]


def draw_sheet(pipelines: Pipelines, samples: Sequence[FolderSample], path: Path) -> None:
    """A PNG, with masks as the networks make them, without refinement. It shows the photos: mind their licence."""
    limits = next(iter(pipelines.values())).limits
    rows = []
    for sample in samples:
        rgb, truth = sample.read(limits)
        found = {name: predict(pipeline, rgb) for name, pipeline in pipelines.items()}
        rows.append(draw_labels(rgb, {"truth": truth, **found}))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(stack(rows)).save(path)


def predict(pipeline: Pipeline, rgb: Rgb) -> LabelMap:
    """(H, W) uint8: all classes asked for at once."""
    options = ask_for_all(Plan(pipeline.card.classes, {"refine": "none"}))
    (segmentation,) = pipeline.segment([rgb], [options])
    return segmentation.label_map
