"""``python -m benchmarks.crf_gpu``: the dense CRF on a GPU, in batches, beside pydensecrf in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated

import cv2
import numpy as np
import torch
import typer
from numpy.typing import NDArray

from benchmarks.crf_engines import LEVELS_COMPARED
from benchmarks.machine import describe_machine
from benchmarks.photo import benchmark_photo
from benchmarks.report import Report, Row, Table, console, progress_bar, publish
from benchmarks.samples import interleave
from weakseg.codec.decode import Limits, decode_image
from weakseg.options import CrfEngineName
from weakseg.refine.densecrf.problem import CrfProblem, Kernels
from weakseg.refine.densecrf.reference import infer_with_pydensecrf
from weakseg.refine.densecrf.torch_engine import TorchEngine
from weakseg.refine.densecrf.torch_problem import TensorProblem
from weakseg.types import Rgb

KERNELS, STEPS = Kernels(3, 3, 80, 13, 10), 10  # pydensecrf's customary ones
WARM_UP_ROUNDS = 2
MEBIBYTE = 2**20

NOTE = (
    "Medians over rounds. `device`: logits and photos lie on the device, and so do the marginals; `arrays`: NumPy "
    "arrays in and out, both ways across the bus. `device, replayed`: the same calls recorded once as a CUDA graph, so "
    "that the host has next to nothing to do. Ratios: pydensecrf's time per image, one after the other on one core in "
    "this run, divided by the time per image. Memory: the most that was taken on the device at once, inputs included. "
    "Equal: percent of pixels with pydensecrf's label on the first photo of the batch. Aim: 500 times at batch 32."
)


def main(
    device: Annotated[str, typer.Option(help="cuda, cuda:1 ...; cpu runs the same, to see that it does.")] = "cuda",
    batches: Annotated[str, typer.Option(help="Batch sizes, comma-separated.")] = "1,8,32,64",
    labels: Annotated[str, typer.Option(help="Numbers of labels, comma-separated.")] = "2,21",
    levels: Annotated[str, typer.Option(help="Of " + ", ".join(LEVELS_COMPARED) + ".")] = ",".join(LEVELS_COMPARED),
    rounds: Annotated[int, typer.Option(min=1, help="Every side runs once per round.")] = 9,
    graph: Annotated[bool, typer.Option(help="Also record and replay a CUDA graph.")] = True,
    out: Annotated[Path | None, typer.Option(help="Write FILE.md and FILE.json.")] = None,
) -> None:
    """Time the PyTorch engine on batches of one photo of 500 x 375 pixels, mirrored and shifted so that all differ.

    On CUDA it first makes sure that the host never waits inside (torch.cuda.set_sync_debug_mode). The whole run takes
    some minutes, most of it pydensecrf's own with 21 labels.
    """
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    where = open_device(device)
    rows: list[Row] = []
    cases = [
        (int(count), CrfEngineName(level.strip()), int(batch))
        for count in labels.split(",")
        for level in levels.split(",")
        for batch in batches.split(",")
    ]
    with progress_bar() as progress:
        for count, level, batch in progress.track(cases, description="cases"):
            rows.append(measure(make_problems(count, batch), level, where, rounds=rounds, graph=graph))
            console.print(rows[-1], markup=False)
    setup = {
        "device": torch.cuda.get_device_name(where) if where.type == "cuda" else "CPU, one thread",
        "CRF": f"{KERNELS}, {STEPS} steps",
        "rounds": f"{rounds} after {WARM_UP_ROUNDS} to warm up",
    }
    publish(Report("Dense CRF on a GPU", describe_machine(), setup, [Table("Batches", rows, NOTE)]), out)


def open_device(name: str) -> torch.device:
    """The device, if there is one."""
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise typer.BadParameter("no CUDA device is at hand; --device cpu runs the same code, slowly")
    return device


def make_problems(labels: int, batch: int) -> list[CrfProblem]:
    rgb = decode_image(benchmark_photo(), Limits())
    return [CrfProblem(make_logits(labels, number), shifted(rgb, number), KERNELS, STEPS) for number in range(batch)]


def shifted(rgb: Rgb, number: int) -> Rgb:
    """Rolled by some columns, and every second one mirrored."""
    rolled = np.roll(rgb, 17 * number, axis=1)
    return np.ascontiguousarray(rolled[:, ::-1] if number % 2 else rolled)


def make_logits(labels: int, number: int) -> NDArray[np.float32]:
    """(L, 375, 500): soft random maps, of which about a quarter leads somewhere."""
    rng = np.random.default_rng(number)
    coarse = rng.normal(size=(labels, 6, 8)).astype(np.float32)
    coarse[max(2, labels // 4) :] -= 2
    return np.stack([cv2.resize(one, (500, 375), interpolation=cv2.INTER_CUBIC) for one in 2 * coarse])


def measure(
    problems: Sequence[CrfProblem], level: CrfEngineName, device: torch.device, *, rounds: int, graph: bool
) -> Row:
    engine = TorchEngine(level, device, static=True)
    tensors = [TensorProblem.uploaded(problem, device) for problem in problems]
    sides: dict[str, Callable[[], object]] = {
        "pydensecrf": partial(infer_with_pydensecrf, problems[:1]),
        "device": partial(engine.infer_tensors, tensors),
        "arrays": partial(engine, problems),
    }
    [first] = infer_with_pydensecrf(problems[:1])
    equal = (engine(problems)[0].argmax(0) == first.argmax(0)).mean()
    memory_mib = most_memory_mib(sides["device"], device)
    if device.type == "cuda":
        check_that_nobody_waits(sides["device"])
        if graph:
            sides["device, replayed"] = record(sides["device"])
    timed_sides = {name: partial(timed_ms, run, device) for name, run in sides.items()}
    measured = interleave(timed_sides, rounds=WARM_UP_ROUNDS + rounds)
    ms = {name: median(times[WARM_UP_ROUNDS:]) for name, times in measured.items()}
    per_image_ms = {name: time if name == "pydensecrf" else time / len(problems) for name, time in ms.items()}
    return {
        "labels": len(problems[0].logits),
        "level": str(level),
        "batch": len(problems),
        **{f"{name} ms/image": time for name, time in per_image_ms.items()},
        "images/s": 1000 / min(time for name, time in per_image_ms.items() if name.startswith("device")),
        **{
            f"{name}, times": per_image_ms["pydensecrf"] / time
            for name, time in per_image_ms.items()
            if name != "pydensecrf"
        },
        "memory MiB": memory_mib,
        "equal": f"{100 * equal:.2f}",
    }


def check_that_nobody_waits(run: Callable[[], object]) -> None:
    """Raises: RuntimeError where an operator makes the host wait for the device."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        run()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def record(run: Callable[[], object]) -> Callable[[], object]:
    """The same work as a CUDA graph: inputs and outputs stay where they are."""
    side_stream = torch.cuda.Stream()
    side_stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side_stream):
        run()
    torch.cuda.current_stream().wait_stream(side_stream)
    recorded = torch.cuda.CUDAGraph()
    with torch.cuda.graph(recorded):
        results = run()

    def replay() -> object:
        recorded.replay()
        return results

    return replay


def most_memory_mib(run: Callable[[], object], device: torch.device) -> float | None:
    if device.type != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats(device)
    run()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) / MEBIBYTE


def timed_ms(run: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    typer.run(main)
