"""``python -m benchmarks.gradients``: saliency in the graph that is served, against eager autograd."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated

import cv2
import numpy as np
import onnxruntime
import torch
import typer
from captum.attr import Saliency
from numpy.typing import NDArray
from onnx.utils import extract_model
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from benchmarks.machine import describe_machine
from benchmarks.report import Report, Row, Table, console, progress_bar, publish
from benchmarks.samples import interleave, paired_ratio
from export.onnx import export_onnx
from export.torchscript import export_torchscript
from weakseg.attribution.methods import build_graph
from weakseg.attribution.saliency import SaliencySettings
from weakseg.labels import Vocabulary
from weakseg.models.classifier import build_network, load_classifier
from weakseg.runtime import ONNX_FILE, TORCHSCRIPT_FILE, OnnxRuntime, TorchScriptRuntime
from weakseg.types import NO_LABEL, Query

HW = (224, 224)
CLASSES = 1000
PASSES = 5
LIMIT = (1 + PASSES) / (1 + 1)  # if a backward pass takes as long as a forward pass, and nothing is shared beyond it
WARM_UP_ROUNDS = 3
LAST_MAPS = {"squeezenet1_1": "features", "vgg16": "features", "resnet18": "layer4"}  # what GradCAM weighs

ONNX, ONNX_FORWARD, SCRIPT = "ONNX Runtime", "forward", "TorchScript"
ONNX_MANY = f"ONNX Runtime, K = {PASSES}"
CAPTUM, GRADCAM = "captum Saliency", "pytorch-grad-cam GradCAM"

SPEED_NOTE = (
    "Milliseconds per batch, medians; ratios are medians over rounds, each round against itself. The exported graphs "
    "and captum's `Saliency` compute the same: the absolute gradient of one class per image with respect to the pixels "
    "(the graphs: its maximum over colours as well). `GradCAM`, the cheapest gradient method of pytorch-grad-cam, "
    "weighs the last feature maps by their gradients; its `backward()` goes through the whole network and leaves the "
    "gradients of all weights. Aim: ONNX Runtime at most half of either."
)
PASSES_NOTE = (
    f"`limit`: (1 + {PASSES}) / (1 + 1), one forward and K backward passes of the same length; masks that all passes "
    "share bring the ratio down, what is moved per pass beyond the convolutions brings it up. Aim: at most 3.2."
)


def main(
    networks: Annotated[str, typer.Option(help="Comma-separated, of squeezenet1_1, vgg16, resnet18.")] = ",".join(
        LAST_MAPS
    ),
    batches: Annotated[str, typer.Option(help="Batch sizes, comma-separated.")] = "1,8",
    repeats: Annotated[int, typer.Option(min=1, help="Rounds; every side runs once per round.")] = 9,
    out: Annotated[Path | None, typer.Option(help="Write FILE.md and FILE.json.")] = None,
) -> None:
    """Time all sides in one process on one thread, in turns. Random weights: they take as long as trained ones."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    sizes = [int(batch) for batch in batches.split(",")]
    speed: list[Row] = []
    passes: list[Row] = []
    with progress_bar() as progress, tempfile.TemporaryDirectory() as folder:
        names = networks.split(",")
        bar = progress.add_task("rounds", total=len(names) * len(sizes) * (repeats + WARM_UP_ROUNDS))
        for network in names:
            export_saliency(network, Path(folder) / network)
            for batch in sizes:
                sides = build_sides(network, Path(folder) / network, random_photos(batch))
                advance = partial(progress.advance, bar, 1 / len(sides))
                interleave(sides, rounds=WARM_UP_ROUNDS, on_step=advance)
                measured = interleave(sides, rounds=repeats, on_step=advance)
                speed.append(speed_row(network, batch, measured))
                passes.append(passes_row(network, batch, measured))
                console.print(speed[-1], passes[-1], markup=False)
    setup = {"input": f"{HW[0]} x {HW[1]}", "rounds": f"{repeats} after {WARM_UP_ROUNDS} to warm up, one thread"}
    tables = [Table("One map per image", speed, SPEED_NOTE), Table("Several maps per image", passes, PASSES_NOTE)]
    publish(Report("Gradients", describe_machine(), setup, tables), out)


def random_network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return build_network(name, CLASSES).eval()


def export_saliency(network: str, folder: Path) -> None:
    """Write the graph of `python -m export --method saliency` in both formats."""
    folder.mkdir()
    classifier = load_classifier(network, "random", num_classes=CLASSES)
    graph = build_graph(classifier, Vocabulary(classifier.classes), SaliencySettings(), multi_label=False)
    export_torchscript(graph, folder / TORCHSCRIPT_FILE)
    export_onnx(folder / TORCHSCRIPT_FILE, folder / ONNX_FILE)


def random_photos(batch: int) -> NDArray[np.uint8]:
    """(B, h, w, 3)."""
    return np.random.default_rng(0).integers(0, 256, (batch, *HW, 3), dtype=np.uint8)


def build_sides(network: str, folder: Path, photos: NDArray[np.uint8]) -> Mapping[str, Callable[[], float]]:
    """What is compared, each ready to run once and to say how many milliseconds it took.

    Args:
        folder: Of the exported graph.
        photos: (B, h, w, 3).
    """
    served = OnnxRuntime((folder / ONNX_FILE).read_bytes(), threads=1, gpu=None)
    script = TorchScriptRuntime((folder / TORCHSCRIPT_FILE).read_bytes(), threads=1, gpu=None)
    one, many = (ask_first(len(photos), count) for count in (1, PASSES))
    pixels = torch.from_numpy(photos).permute(0, 3, 1, 2).float().contiguous()  # (B, 3, h, w)
    return {
        ONNX: partial(timed, lambda: served.run(photos, one)),
        ONNX_MANY: partial(timed, lambda: served.run(photos, many)),
        ONNX_FORWARD: partial(timed, forward_session(folder, photos)),
        SCRIPT: partial(timed, lambda: script.run(photos, one)),
        CAPTUM: partial(timed, captum_saliency(network, pixels)),
        GRADCAM: partial(timed, gradcam(network, pixels)),
    }


def ask_first(batch: int, passes: int) -> Query:
    """For the maps of classes 0, 1, 2 ... of every photo."""
    labels = np.tile(np.arange(passes), (batch, 1))  # (B, K)
    return Query(labels, labels, np.full((batch, 1), NO_LABEL))


def forward_session(folder: Path, photos: NDArray[np.uint8]) -> Callable[[], object]:
    """The network alone, in ONNX Runtime: the part of the graph that leads to the scores."""
    forward = folder / "forward.onnx"
    if not forward.exists():
        extract_model(str(folder / ONNX_FILE), str(forward), ["images"], ["scores"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(forward, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"images": photos})


def captum_saliency(network: str, images: Tensor) -> Callable[[], object]:
    method = Saliency(random_network(network))
    inputs = images.clone().requires_grad_(True)
    return lambda: method.attribute(inputs, target=0)


def gradcam(network: str, images: Tensor) -> Callable[[], object]:
    model = random_network(network)
    method = GradCAM(model=model, target_layers=[model.get_submodule(LAST_MAPS[network])])
    return lambda: method(input_tensor=images, targets=[ClassifierOutputTarget(0)] * len(images))


def timed(run: Callable[[], object]) -> float:
    """Milliseconds."""
    started = time.perf_counter()
    run()
    return (time.perf_counter() - started) * 1000


def speed_row(network: str, batch: int, measured: Mapping[str, Sequence[float]]) -> Row:
    sides = (ONNX, SCRIPT, CAPTUM, GRADCAM)
    return {
        "network": network,
        "batch": batch,
        **{f"{side} ms": median(measured[side]) for side in sides},
        "ONNX Runtime / captum": paired_ratio(measured[ONNX], measured[CAPTUM]),
        "ONNX Runtime / GradCAM": paired_ratio(measured[ONNX], measured[GRADCAM]),
    }


def passes_row(network: str, batch: int, measured: Mapping[str, Sequence[float]]) -> Row:
    return {
        "network": network,
        "batch": batch,
        "forward alone ms": median(measured[ONNX_FORWARD]),
        "K = 1 ms": median(measured[ONNX]),
        f"K = {PASSES} ms": median(measured[ONNX_MANY]),
        "ratio": paired_ratio(measured[ONNX_MANY], measured[ONNX]),
        "limit": LIMIT,
    }


if __name__ == "__main__":
    typer.run(main)
