"""How long networks that label pixels take for one photo: the graph alone in both runtimes, and a whole request."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch

from benchmarks.samples import interleave
from benchmarks.stage_times import RUNTIMES, WARM_UP_ROUNDS
from weakseg.archive import Archive
from weakseg.codec.decode import decode_image
from weakseg.options import Options
from weakseg.pipeline import Pipeline
from weakseg.runtime import open_runtime
from weakseg.types import RawRequest

GPU, REQUEST = "gpu", "request"  # cases beside the runtimes'


@dataclass(frozen=True, slots=True)
class Latency:
    """Medians, milliseconds, of one photo on one thread."""

    onnx_ms: float  # the graph alone, at the size that the card feeds
    torchscript_ms: float
    request_ms: float  # from the photo's bytes to the mask's, in ONNX Runtime, without refinement
    gpu_ms: float | None  # TorchScript, with the copies to the device and back; None: there is none


def measure_latencies(
    archives: Mapping[str, Archive], photo: bytes, repeats: int, on_step: Callable[[], None] = lambda: None
) -> dict[str, Latency]:
    """Every network in every way, in turns, after a warm-up.

    Args:
        archives: By any name.
        photo: An encoded picture.
        repeats: Measurements of each case.
    """
    cases = {(name, what): run for name, archive in archives.items() for what, run in _cases(archive, photo).items()}
    interleave(cases, rounds=WARM_UP_ROUNDS)
    medians = {
        case: statistics.median(times) for case, times in interleave(cases, rounds=repeats, on_step=on_step).items()
    }
    return {
        name: Latency(*(medians[name, what] for what in (*RUNTIMES, REQUEST)), medians.get((name, GPU)))
        for name in archives
    }


def _cases(archive: Archive, photo: bytes) -> dict[str, Callable[[], float]]:
    cases = {runtime: _graph_case(archive, runtime, None, photo) for runtime in RUNTIMES}
    cases[REQUEST] = partial(_time, partial(_answer, _open(archive, "onnx", None), photo))
    if torch.cuda.is_available():
        cases[GPU] = _graph_case(archive, "torchscript", 0, photo)
    return cases


def _graph_case(archive: Archive, runtime: str, gpu: int | None, photo: bytes) -> Callable[[], float]:
    pipeline = _open(archive, runtime, gpu)
    plan = pipeline.plan(decode_image(photo, pipeline.limits), Options())
    return partial(_time, partial(pipeline.forward, [plan]))


def _open(archive: Archive, runtime: str, gpu: int | None) -> Pipeline:
    card = archive.card.model_copy(update={"runtime": runtime, "threads": 1})
    return Pipeline(card, open_runtime(card, archive.read_file, gpu=gpu))


def _answer(pipeline: Pipeline, photo: bytes) -> None:
    (answer,) = pipeline.answer([RawRequest(photo, {"refine": "none"})])
    if answer.status != 200:
        raise RuntimeError(answer.body.decode())


def _time(work: Callable[[], object]) -> float:
    """Milliseconds."""
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000
