"""Saliency and CRF as weakseg serves them, beside a service made the naive way, at equal output."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks import service
from benchmarks.load import put_load, send
from benchmarks.report import Table
from benchmarks.samples import throughput_ratio
from benchmarks.serving_setup import MASK, Run, Setup, load_figures
from export.build import build_archive
from weakseg.archive import Archive, open_archive
from weakseg.attribution.saliency import SaliencySettings
from weakseg.models.classifier import load_classifier

NAIVE = "naive_saliency"
SALIENCY = "weakseg_saliency"
# Saliency, smoothed, then sharpened by a CRF: the course project's way, at the photo's size, with its ten steps.
_SALIENCY_TASK = {"refine": "gaussian+crf", "sigma": 0.02, "threshold": 0.3, "crf": {"engine": "fast", "steps": 10}}
CLIENTS_PER_WORKER = 4

NOTE = (
    "Closed loop, {clients} clients. `{weakseg}`: the exported saliency graph in ONNX Runtime, Gaussian, `fast` CRF, "
    "PNG mask, through the front. `{naive}`: eager torchvision SqueezeNet, captum's Saliency, OpenCV's Gaussian, "
    "pydensecrf, mask as JSON (benchmarks/naive.py), batch size 1, straight from TorchServe. The same network, map, "
    "CRF settings, steps and size, and as many workers with as many threads. Their masks agree: IoU {iou:.4f}, "
    "{equal:.2%} of pixels. Target: 5 times the naive throughput."
)


def measure_naive(setup: Setup) -> list[Table]:
    """One table. The saliency archive is exported on the spot, which takes some 10 s."""
    setup.say("export the plain saliency")
    clients = setup.workers * CLIENTS_PER_WORKER
    with service.running(partial(_write_archives, setup), setup.say) as instance:
        ours = service.target_of(instance, SALIENCY, setup.photo, MASK)
        theirs = service.target_of(instance, NAIVE, setup.photo, {}, past_the_front=True)
        first, second = np.asarray(Image.open(io.BytesIO(send(ours)))) > 0, _read_mask(send(theirs))  # (H, W)
        cases: dict[str, Run] = {SALIENCY: partial(put_load, ours, clients), NAIVE: partial(put_load, theirs, clients)}
        measured = setup.take_turns("naive service", cases)
    rows = [
        {"service": name, **load_figures(rounds), "x naive": throughput_ratio(rounds, measured[NAIVE])}
        for name, rounds in measured.items()
    ]
    iou, equal = float((first & second).sum() / (first | second).sum()), float((first == second).mean())
    note = NOTE.format(clients=clients, weakseg=SALIENCY, naive=NAIVE, iou=iou, equal=equal)
    return [Table("Beside a naive service", rows, note)]


def build_saliency_archive(folder: Path) -> Archive:
    """Export SqueezeNet's plain saliency into a folder.

    Raises:
        WeightsUnavailableError: the ImageNet weights cannot be had.
    """
    built = build_archive(
        load_classifier("squeezenet1_1"),
        name=SALIENCY,
        directory=folder,
        settings=SaliencySettings(),
        card_fields={"photo_task": _SALIENCY_TASK, "refine_side": 500},
    )
    return open_archive(built.path)


def _write_archives(setup: Setup, store: Path) -> Sequence[str]:
    built: Archive = build_saliency_archive(store / "built")
    workers = {"minWorkers": setup.workers, "maxWorkers": setup.workers}
    service.copy_archive(built.path, store / f"{SALIENCY}.mar", **workers)
    recipe = service.recipe_of(built.card)
    service.write_naive_archive(store / f"{NAIVE}.mar", recipe, threads=built.card.threads, workers=setup.workers)
    return (SALIENCY, NAIVE)


def _read_mask(body: bytes) -> NDArray[np.bool_]:
    """(H, W) of the naive service's JSON."""
    return np.array(json.loads(body)["mask"]) > 0
