"""GrabCut alone, once from weakseg's class map and once from the naive service's.

A graph cut's time depends on its seeds: with the same photo and settings, one map may cost twice as much as another.
So this part of a difference between the two services is no merit of either as a service, and is shown by itself.
"""

from __future__ import annotations

import io
import statistics
import time
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.naive import Recipe, load_gradcam, naive_map
from benchmarks.report import Row
from benchmarks.samples import interleave
from weakseg.codec.decode import decode_image
from weakseg.options import Options
from weakseg.pipeline import Pipeline
from weakseg.refine.bench import shrink_to_side
from weakseg.refine.grabcut import cut, digitise_map
from weakseg.types import Rgb


def measure_cuts(pipeline: Pipeline, photo: bytes, recipe: Recipe, *, rounds: int) -> list[Row]:
    """Milliseconds of the same GrabCut from the two services' maps of the best label, in turns, in this process."""
    rgb = decode_image(photo, pipeline.limits)
    work_rgb = shrink_to_side(rgb, recipe.side_px)
    hw = (work_rgb.shape[0], work_rgb.shape[1])
    plan = pipeline.plan(rgb, Options())
    ours = plan.geometry.restore(pipeline.forward([plan])[0].maps[0, 0], hw=hw)  # (H, W)
    theirs = cv2.resize(naive_map(Image.open(io.BytesIO(photo)), load_gradcam()), hw[::-1])  # (H, W)
    seeds = {"weakseg": digitise_map(ours, recipe.levels), "naive": digitise_map(theirs, recipe.levels)}
    cases = {name: partial(_cut_ms, work_rgb, seed, recipe.iterations) for name, seed in seeds.items()}
    measured = interleave(cases, rounds=rounds)
    return [
        {
            "map from": name,
            "foreground before": f"{np.mean(seeds[name] & 1):.0%}",
            "GrabCut p50 ms": statistics.median(measured[name]),
        }
        for name in seeds
    ]


def _cut_ms(rgb: Rgb, seeds: NDArray[np.uint8], iterations: int) -> float:
    started = time.perf_counter()
    cut(rgb, seeds, iterations=iterations)
    return (time.perf_counter() - started) * 1000
