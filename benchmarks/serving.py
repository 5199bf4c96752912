"""``python -m benchmarks.serving``: throughput and latency through TorchServe, beside a service made the naive way."""

from __future__ import annotations

import io
import json
import signal
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from itertools import product
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import cv2
import numpy as np
import typer
from PIL import Image

from benchmarks import service
from benchmarks.cuts import measure_cuts
from benchmarks.load import TIMINGS, Target, put_load, send
from benchmarks.machine import describe_machine
from benchmarks.photo import benchmark_photo
from benchmarks.plain import build_plain_archive
from benchmarks.report import Report, Row, Table, console, progress_bar, publish
from benchmarks.samples import (
    Round,
    interleave,
    overheads_ms,
    paired_ratio,
    percentile,
    pooled_latencies_ms,
    pooled_throughput_per_s,
)
from scripts.archives import ensure_archive
from scripts.torchserve import HOST, Instance
from weakseg.archive import Archive, find_archive, open_archive
from weakseg.pipeline import Pipeline
from weakseg.runtime import open_runtime
from weakseg.types import RawRequest

ROOT = Path(__file__).resolve().parents[1]
BATCHED, SINGLE, PLAIN, NAIVE = "weakseg", "weakseg_single", "weakseg_plain", "naive_gradcam"
SERVICES = (BATCHED, SINGLE, PLAIN, NAIVE)
IN_PROCESS = "in process"
REFINES = ("none", "grabcut")
CLIENTS = (1, 8)
WARM_UP_S = 0.5  # per case

LOAD_NOTE = (
    "Closed loop over keep-alive connections, one per client; services took turns within each round. `images/s` over "
    "all rounds, `lowest` in the worst round. `x naive`: median over rounds of this service's images/s divided by "
    f"`{NAIVE}`'s in the same round. `{SINGLE}` is the same model with batch size 1; `{PLAIN}` has "
    "the paper's plain CAM at 224 px, which is the naive service's work, instead of the default model's costlier maps."
)
OVERHEAD_NOTE = (
    "One client. `overhead`: median, over requests, of the client's latency minus the pipeline's own `total` of the "
    "same request (header X-Weakseg-Timings-Ms): HTTP, TorchServe's queue, its worker protocol, the handler. Target: "
    f"at most 10 ms. `{BATCHED}` includes the wait for a batch to fill. `in process`: the same pipeline called in this "
    "process, in the same rounds."
)
CUTS_NOTE = (
    "Same photo, levels, iterations and size; in this process, in turns. A graph cut's time depends on the map "
    "that seeds it: this share of the difference with GrabCut above comes from the maps, not from how they are served."
)


class Case(NamedTuple):
    service: str
    refine: str
    clients: int


def main(
    model: Annotated[str, typer.Option(help="weakseg's archive, by name or path.")] = "weakseg",
    store: Annotated[Path, typer.Option(help="Folder of the archives.")] = ROOT / "model_store",
    rounds: Annotated[int, typer.Option(min=1, help="How often every case has its turn.")] = 4,
    seconds: Annotated[float, typer.Option(min=0.1, help="Length of one turn.")] = 2.0,
    naive_threads: Annotated[
        int | None, typer.Option(help="PyTorch's and OpenCV's in the naive worker.", show_default="as weakseg's card")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write FILE.md and FILE.json.", show_default="print only")] = None,
) -> None:
    """Start TorchServe with weakseg's model and a naive Grad-CAM service, and load both in turns.

    The photo is a 500 x 375 JPEG, the answer a PNG mask; with and without GrabCut; one client and eight. The default
    model is built where it is missing. Under four minutes with the default settings; nothing is left running.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that TorchServe is stopped then, too
    machine = describe_machine()
    ensure_archive(model, store.resolve(), console.print)
    archive = open_archive(find_archive(model, store))
    threads = naive_threads or archive.card.threads
    photo = benchmark_photo()
    console.print("export the plain CAM, write the archives, start TorchServe")
    with service.running(partial(_write_archives, archive, threads), console.print) as instance:
        workers = {name: service.describe_workers(instance, name) for name in SERVICES}
        targets = {(name, refine): _target(instance, name, refine, photo) for name in SERVICES for refine in REFINES}
        agreement = {
            f"{name}, {refine}": _agreement(targets[name, refine], targets[NAIVE, refine])
            for name, refine in product((BATCHED, PLAIN), REFINES)
        }
        pipeline = _open_pipeline(archive)
        measured = _measure(_cases(targets, pipeline, photo), rounds, seconds)
    cuts = measure_cuts(pipeline, photo, service.recipe_of(archive.card), rounds=rounds)
    setup = {
        "photo": f"500 x 375 JPEG, {len(photo):,} bytes; answer: PNG mask",
        "weakseg": f"{archive.card.name} {archive.card.version}, maps {archive.card.graph}, {archive.card.runtime}, "
        f"{archive.card.threads} thread(s) per worker",
        "naive": f"eager torchvision SqueezeNet 1.1 at 224 px, pytorch-grad-cam, {threads} thread(s) per worker",
        "GrabCut of both": _listed(asdict(service.recipe_of(archive.card))),
        **{f"TorchServe, {name}": _listed(described) for name, described in workers.items()},
        "client": "threads of this process, on the same machine; nothing was pinned to a core",
        "rounds": f"{rounds} of {seconds} s per case",
        "masks of naive and of the others agree": ", ".join(
            f"IoU {iou:.2f} ({name})" for name, iou in agreement.items()
        ),
    }
    tables = [
        Table("Throughput and latency", _load_rows(measured), LOAD_NOTE),
        Table("TorchServe's own overhead", _overhead_rows(measured), OVERHEAD_NOTE),
        Table("GrabCut alone", cuts, CUTS_NOTE),
    ]
    publish(Report("Served throughput and latency", machine, setup, tables), out)


def _write_archives(archive: Archive, naive_threads: int, store: Path) -> Sequence[str]:
    service.copy_archive(archive.path, store / f"{BATCHED}.mar")
    service.copy_archive(
        archive.path, store / f"{SINGLE}.mar", batchSize=1, maxBatchDelay=1
    )  # TorchServe reads 0 as "not set"
    plain = build_plain_archive(store / "plain", archive.card)
    service.copy_archive(plain.path, store / f"{PLAIN}.mar")
    service.write_naive_archive(store / f"{NAIVE}.mar", service.recipe_of(archive.card), threads=naive_threads)
    return SERVICES


def _open_pipeline(archive: Archive) -> Pipeline:
    """The pipeline as the handler opens it."""
    cv2.setNumThreads(archive.card.threads)
    return Pipeline(archive.card, open_runtime(archive.card, archive.read_file))


def _target(instance: Instance, name: str, refine: str, photo: bytes) -> Target:
    headers = {"Content-Type": "image/jpeg", "X-Weakseg-Refine": refine, "X-Weakseg-Format": "mask"}
    return Target(HOST, instance.port, f"/predictions/{name}", photo, headers)


def _agreement(ours: Target, theirs: Target) -> float:
    """IoU of two services' masks: whether they do the same work."""
    first, second = (np.asarray(Image.open(io.BytesIO(send(target)))) > 0 for target in (ours, theirs))  # (H, W)
    return float((first & second).sum() / max((first | second).sum(), 1))


def _cases(
    targets: Mapping[tuple[str, str], Target], pipeline: Pipeline, photo: bytes
) -> dict[Case, Callable[[float], Round]]:
    """What to measure; each takes the seconds that it may last."""
    cases: dict[Case, Callable[[float], Round]] = {}
    for refine in REFINES:
        request = RawRequest(photo, {"refine": refine, "format": "mask"})
        cases[Case(IN_PROCESS, refine, 1)] = partial(_answer_in_process, pipeline, request)
        for clients, name in product(CLIENTS, SERVICES):
            cases[Case(name, refine, clients)] = partial(put_load, targets[name, refine], clients)
    return cases


def _answer_in_process(pipeline: Pipeline, request: RawRequest, duration_s: float) -> Round:
    latencies_ms: list[float] = []
    own_ms: list[float] = []
    started = time.perf_counter()
    while not latencies_ms or time.perf_counter() < started + duration_s:
        before = time.perf_counter()
        (answer,) = pipeline.answer([request])
        latencies_ms.append((time.perf_counter() - before) * 1000)
        own_ms.append(json.loads(answer.headers[TIMINGS])["total"])
    return Round(tuple(latencies_ms), tuple(own_ms), time.perf_counter() - started)


def _measure(cases: Mapping[Case, Callable[[float], Round]], rounds: int, seconds: float) -> dict[Case, list[Round]]:
    with progress_bar() as progress:
        task = progress.add_task("warm up", total=len(cases))
        interleave(_lasting(cases, WARM_UP_S), rounds=1, on_step=lambda: progress.advance(task))
        task = progress.add_task("rounds", total=len(cases) * rounds)
        return interleave(_lasting(cases, seconds), rounds=rounds, on_step=lambda: progress.advance(task))


def _lasting(cases: Mapping[Case, Callable[[float], Round]], seconds: float) -> dict[Case, Callable[[], Round]]:
    return {case: partial(run, seconds) for case, run in cases.items()}


def _load_rows(measured: Mapping[Case, Sequence[Round]]) -> list[Row]:
    rows = []
    for refine, clients, name in product(REFINES, CLIENTS, SERVICES):
        rounds = measured[Case(name, refine, clients)]
        throughputs = [one.throughput_per_s for one in rounds]
        naive = [one.throughput_per_s for one in measured[Case(NAIVE, refine, clients)]]
        latencies = pooled_latencies_ms(rounds)
        rows.append(
            {
                "refine": refine,
                "clients": clients,
                "service": name,
                "requests": len(latencies),
                "images/s": pooled_throughput_per_s(rounds),
                "lowest": min(throughputs),
                "p50 ms": percentile(latencies, 50),
                "p99 ms": percentile(latencies, 99),
                "x naive": paired_ratio(throughputs, naive),
            }
        )
    return rows


def _overhead_rows(measured: Mapping[Case, Sequence[Round]]) -> list[Row]:
    return [
        {
            "refine": refine,
            "service": name,
            "client p50 ms": statistics.median(pooled_latencies_ms(measured[Case(name, refine, 1)])),
            "pipeline total p50 ms": _own_total_ms(measured[Case(name, refine, 1)]),
            "overhead p50 ms": statistics.median(overheads_ms(measured[Case(name, refine, 1)])),
            "in process p50 ms": _own_total_ms(measured[Case(IN_PROCESS, refine, 1)]),
        }
        for refine, name in product(REFINES, (BATCHED, SINGLE))
    ]


def _own_total_ms(rounds: Sequence[Round]) -> float:
    return statistics.median(own for one in rounds for own in one.pipeline_ms)


def _listed(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items())


if __name__ == "__main__":
    typer.run(main)
