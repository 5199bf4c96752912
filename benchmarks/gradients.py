"""``python -m benchmarks.gradients``: saliency in an exported graph against eager autograd."""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated

import cv2
import torch
import typer
from captum.attr import Saliency
from onnx.utils import extract_model
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from benchmarks.gradient_graphs import SaliencyGraph, export_graph, open_session
from benchmarks.machine import describe_machine
from benchmarks.report import Report, Row, Table, console, progress_bar, publish
from benchmarks.samples import interleave, paired_ratio
from weakseg.models.classifier import build_network
from weakseg.models.tape import record_tape

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
    "Milliseconds per batch, medians; ratios are medians over rounds, each round against itself. The exported graphs and "
    "captum's `Saliency` compute the same: the absolute gradient of one class per image with respect to the pixels "
    "(the graphs: its maximum over colours as well). `GradCAM`, the cheapest gradient method of pytorch-grad-cam, weighs "
    "the last feature maps by their gradients; its `backward()` goes through the whole network and leaves the gradients "
    "of all weights. Aim: ONNX Runtime at most half of either."
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
            export_graph(SaliencyGraph(record_tape(random_network(network), network)), Path(folder) / network)
            for batch in sizes:
                sides = build_sides(network, Path(folder) / network, torch.randn(batch, 3, *HW))
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


def build_sides(network: str, path: Path, images: Tensor) -> Mapping[str, Callable[[], float]]:
    """What is compared, each ready to run once and to say how many milliseconds it took.

    Args:
        path: Of the exported graph, without suffix.
        images: (B, 3, h, w).
    """
    session = open_session(path)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.load` is deprecated")
        script = torch.jit.load(path.with_suffix(".pt"))
    one, many = ({"images": images.numpy(), "seeds": seeds(len(images), count).numpy()} for count in (1, PASSES))
    return {
        ONNX: partial(timed, lambda: session.run(None, one)),
        ONNX_MANY: partial(timed, lambda: session.run(None, many)),
        ONNX_FORWARD: partial(timed, forward_session(path, images)),
        SCRIPT: partial(timed, torch.inference_mode()(lambda: script(images, seeds(len(images), 1)))),
        CAPTUM: partial(timed, captum_saliency(network, images)),
        GRADCAM: partial(timed, gradcam(network, images)),
    }


def seeds(batch: int, passes: int) -> Tensor:
    """Classes 0, 1, 2 ... for every image: (B, K, C)."""
    return torch.eye(CLASSES)[:passes].expand(batch, -1, -1).contiguous()


def forward_session(path: Path, images: Tensor) -> Callable[[], object]:
    """The network alone, in ONNX Runtime: the part of the graph that leads to the logits."""
    forward = path.with_name(f"{path.name}_forward")
    if not forward.with_suffix(".onnx").exists():
        keep_logits(path, forward)
    session = open_session(forward)
    return lambda: session.run(None, {"images": images.numpy()})


def keep_logits(path: Path, forward: Path) -> None:
    extract_model(str(path.with_suffix(".onnx")), str(forward.with_suffix(".onnx")), ["images"], ["logits"])


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
