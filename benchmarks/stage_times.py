"""Where the time of one request goes: what `benchmarks.stages` measures, once it has its core."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.samples import Case, Result, interleave, paired_ratio, percentile
from weakseg.archive import Archive
from weakseg.codec.decode import decode_image
from weakseg.options import Options
from weakseg.pipeline import Pipeline
from weakseg.query import join_queries
from weakseg.runtime import Runtime, open_runtime
from weakseg.types import Query, RawRequest

RUNTIMES = ("onnx", "torchscript")
REFINES = ("none", "gaussian", "guided", "crf", "gaussian+crf", "grabcut", "guided+grabcut", "crf+grabcut")
FORMATS = ("mask", "json")
STAGES = ("decode", "forward", "maps", "refine", "encode", "total")
BATCHES = (1, 8)
WARM_UP_ROUNDS = 4  # TorchScript specialises its code over the first runs of each shape

Row = dict[str, Any]
StartRounds = Callable[[str, int], Callable[[], None]]  # description and number of steps to "one step is done"


def use_one_thread() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def measure_stages(
    archive: Archive,
    photo: bytes,
    repeats: int,
    start_rounds: StartRounds,
    *,
    runtimes: Sequence[str] = RUNTIMES,
    formats: Sequence[str] = FORMATS,
) -> list[Row]:
    """Median milliseconds of each stage, from the answers' own timings.

    Args:
        photo: An encoded picture.
        repeats: Answers per case.
    """
    cases = {}
    for runtime in runtimes:
        pipeline = Pipeline(archive.card, _open(archive, runtime))
        for refine, chosen in product(REFINES, formats):
            request = RawRequest(photo, {"refine": refine, "format": chosen})
            cases[runtime, refine, chosen] = partial(_answer, pipeline, request)
    measured = _measure(cases, repeats, start_rounds(f"stages of {archive.card.name}", len(cases) * repeats))
    return [_stage_row(*case, timings) for case, timings in measured.items()]


def measure_networks(archives: Sequence[Archive], photo: bytes, repeats: int, start_rounds: StartRounds) -> list[Row]:
    """Median milliseconds of one forward pass per graph, batch size and runtime."""
    cases = {}
    for index, archive in enumerate(archives):
        for runtime in RUNTIMES:
            pipeline = Pipeline(archive.card, _open(archive, runtime))
            for batch in BATCHES:
                images, query = _network_input(pipeline, photo, batch)
                cases[index, batch, runtime] = partial(_run, pipeline.runtime, images, query)
    measured = _measure(cases, repeats, start_rounds("network alone", len(cases) * repeats))
    return [
        _network_row(archive, batch, *(measured[index, batch, runtime] for runtime in RUNTIMES))
        for (index, archive), batch in product(enumerate(archives), BATCHES)
    ]


def _measure(
    cases: Mapping[Case, Callable[[], Result]], repeats: int, on_step: Callable[[], None]
) -> dict[Case, list[Result]]:
    interleave(cases, rounds=WARM_UP_ROUNDS)
    return interleave(cases, rounds=repeats, on_step=on_step)


def _open(archive: Archive, runtime: str) -> Runtime:
    return open_runtime(archive.card.model_copy(update={"runtime": runtime, "threads": 1}), archive.read_file)


def _answer(pipeline: Pipeline, request: RawRequest) -> Mapping[str, float]:
    """The answer's own timings."""
    (answer,) = pipeline.answer([request])
    if answer.status != 200:
        raise RuntimeError(answer.body.decode())
    timings = answer.headers.get("X-Weakseg-Timings-Ms")
    return json.loads(timings) if timings else json.loads(answer.body)["timings_ms"]


def _network_input(pipeline: Pipeline, photo: bytes, batch: int) -> tuple[NDArray[np.uint8], Query]:
    """(B, h, w, 3) and the query: the photo and what a request without options asks, B times."""
    plan = pipeline.plan(decode_image(photo, pipeline.limits), Options())
    assert plan.query is not None
    return np.stack([plan.network_input] * batch), join_queries([plan.query] * batch)


def _run(runtime: Runtime, images: NDArray[np.uint8], query: Query) -> float:
    """Milliseconds of one forward pass."""
    started = time.perf_counter()
    runtime.run(images, query)
    return (time.perf_counter() - started) * 1000


def _stage_row(runtime: str, refine: str, chosen: str, timings: Sequence[Mapping[str, float]]) -> Row:
    medians = {f"{stage} ms": statistics.median(timing[stage] for timing in timings) for stage in STAGES}
    worst = percentile([timing["total"] for timing in timings], 90)
    return {"runtime": runtime, "refine": refine, "format": chosen, **medians, "total p90 ms": worst}


def _network_row(archive: Archive, batch: int, onnx_ms: Sequence[float], torchscript_ms: Sequence[float]) -> Row:
    size = archive.card.preprocessing
    return {
        "graph": archive.card.name,
        "input": f"{size.height} x {size.width}",
        "batch": batch,
        "ONNX Runtime ms": statistics.median(onnx_ms),
        "TorchScript ms": statistics.median(torchscript_ms),
        "TorchScript / ONNX Runtime": paired_ratio(torchscript_ms, onnx_ms),
    }
