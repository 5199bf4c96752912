"""Train the demonstration model: a classifier of drawn shapes, ready within a minute on two cores.

It stands in where pretrained weights cannot be downloaded. Only image labels train it; the true masks serve to measure
its class activation maps (Zhou et al., CVPR 2016) on held-out drawings.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import torch
import torch.nn.functional as F
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from training.drawings import CLASSES, Drawing, draw, generate_drawings
from weakseg.models.demo import build_demo_net

INPUT_PX = 64  # h = w of the network's input
MEAN = STD = 0.5
MAP_THRESHOLD = 0.3  # of the mIoU in the metrics
PEAK_RATE = 4e-3
SAMPLE_HW = (384, 512)
SAMPLE_KINDS = ("disc", "square")
SAMPLE_SEED = 8  # of the first dozen, the one whose two objects stand out best from the background


@dataclass(frozen=True, slots=True)
class DemoResult:
    """Where the demonstration model is, and what it can do on held-out drawings of one object each."""

    checkpoint: Path  # state_dict, classes, metrics, seed, and the input's size, mean and std
    sample: Path  # a picture to send to the service
    accuracy: float
    miou: float  # thresholded map of the true class against the true mask, mean over drawings
    first_loss: float  # mean over the first tenth of the steps
    last_loss: float  # mean over the last tenth
    steps: int
    seconds: float


@dataclass(frozen=True, slots=True)
class _Clock:
    limit_s: float
    start_s: float

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.start_s

    @property
    def lateness(self) -> float:
        """Below 0 in the first half of the time, 1 when the time for training is over. The rest is for measuring."""
        return 2 * self.elapsed_s / (0.85 * self.limit_s) - 1


def train_demo(
    out: Path,
    *,
    seconds_limit: float = 60,
    seed: int = 0,
    steps: int = 450,
    pictures: int = 3000,
    held_out: int = 300,
    progress: bool = True,
) -> DemoResult:
    """Train, measure and save the demonstration model: ``out/demo.pth`` and ``out/demo_sample.png``.

    The same seed gives the same model, unless the machine is so slow that the time limit cuts the training short; the
    learning rate then falls faster, so that even a shortened training ends well. One thread: on a machine that is
    busy, or has two cores, small batches gain nothing from more.
    """
    clock = _Clock(seconds_limit, time.monotonic())
    out.mkdir(parents=True, exist_ok=True)
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
        console=Console(stderr=True), disable=not progress,
    )  # fmt: skip
    with _one_thread(), bar:
        inputs, targets = _draw_pool(seed, pictures, clock, bar)
        net, losses = _fit(inputs, targets, seed, steps, clock, bar)
        accuracy, miou = _measure(net, list(islice(generate_drawings(seed + 1, most_objects=1), held_out)))
    tenth = max(1, len(losses) // 10)
    result = DemoResult(
        checkpoint=out / "demo.pth",
        sample=out / "demo_sample.png",
        accuracy=accuracy,
        miou=miou,
        first_loss=float(np.mean(losses[:tenth])),
        last_loss=float(np.mean(losses[-tenth:])),
        steps=len(losses),
        seconds=clock.elapsed_s,
    )
    _save(net, result, seed)
    return result


def to_input(rgb: NDArray[np.uint8]) -> torch.Tensor:
    """A picture (H, W, 3) uint8 RGB as the network's input (3, INPUT_PX, INPUT_PX) float32, stretched to a square."""
    small = cv2.resize(rgb, (INPUT_PX, INPUT_PX), interpolation=cv2.INTER_AREA)
    return (torch.from_numpy(small).permute(2, 0, 1) / 255 - MEAN) / STD  # (3, h, w)


def class_map(net: torch.nn.Module, rgb: NDArray[np.uint8], label: int) -> NDArray[np.float32]:
    """(H, W) in [0, 1]: positive part of the class activation map, divided by its maximum, at the picture's size."""
    features = net.features(to_input(rgb)[None])[0]  # (channels, h', w')
    evidence = torch.einsum("c,chw->hw", net.classifier.weight[label], features).clamp(min=0)
    relative = (evidence / evidence.max().clamp(min=1e-6)).numpy()
    return cv2.resize(relative, rgb.shape[1::-1], interpolation=cv2.INTER_LINEAR)  # (H, W)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def _draw_pool(seed: int, pictures: int, clock: _Clock, bar: Progress) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs (N, 3, h, w) and class indices (N,); fewer than asked for when a third of the time is over."""
    task = bar.add_task("drawing pictures", total=pictures, note="")
    inputs, targets = [], []
    for drawing in islice(generate_drawings(seed, most_objects=1), pictures):
        inputs.append(to_input(drawing.rgb))
        targets.append(int(drawing.targets.argmax()))
        bar.advance(task)
        if clock.elapsed_s > clock.limit_s / 3:
            break
    return torch.stack(inputs), torch.tensor(targets)


def _fit(
    inputs: torch.Tensor, targets: torch.Tensor, seed: int, steps: int, clock: _Clock, bar: Progress
) -> tuple[torch.nn.Module, list[float]]:
    """The trained network, in evaluation mode, and the loss of every step taken."""
    random = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = build_demo_net(len(CLASSES)).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=0.01)
    task = bar.add_task("training", total=1.0, note="")
    losses: list[float] = []
    while (pace := max(len(losses) / steps, clock.lateness)) < 1:
        optimizer.param_groups[0]["lr"] = PEAK_RATE * _rate(pace)
        picked = torch.randint(len(inputs), (32,), generator=random)
        loss = F.cross_entropy(net(_vary(inputs[picked], random)), targets[picked])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        bar.update(task, completed=pace, note=f"loss {np.mean(losses[-30:]):.2f}")
    bar.update(task, completed=1.0)
    return net.eval(), losses


def _rate(pace: float) -> float:
    """Learning rate over its peak: a linear rise in the first fifth, then half a cosine."""
    return min(pace / 0.2, 0.5 + 0.5 * math.cos(math.pi * max(0.0, (pace - 0.2) / 0.8)))


def _vary(batch: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """The batch (B, 3, h, w) mirrored and with its colour channels swapped, at random."""
    flips = [axis for axis in (2, 3) if torch.rand(1, generator=random) < 0.5]
    colours = torch.randperm(3, generator=random)
    return batch[:, colours].flip(flips).contiguous(memory_format=torch.channels_last)  # (B, 3, h, w)


@torch.inference_mode()
def _measure(net: torch.nn.Module, drawings: list[Drawing]) -> tuple[float, float]:
    """Accuracy, and mean IoU of the thresholded map of the true class, on drawings of one object each."""
    labels = [int(drawing.targets.argmax()) for drawing in drawings]
    guesses = net(torch.stack([to_input(drawing.rgb) for drawing in drawings])).argmax(1)  # (N,)
    ious = []
    for drawing, label in zip(drawings, labels, strict=True):
        mask = class_map(net, drawing.rgb, label) >= MAP_THRESHOLD
        truth = drawing.label_map > 0
        ious.append((mask & truth).sum() / (mask | truth).sum())
    return float((guesses == torch.tensor(labels)).float().mean()), float(np.mean(ious))


def _save(net: torch.nn.Module, result: DemoResult, seed: int) -> None:
    """Write both files, each under another name first, so that an interrupted run leaves no half file."""
    metrics = {name: value for name, value in asdict(result).items() if isinstance(value, (int, float))}
    document = {
        "state_dict": {name: value.contiguous() for name, value in net.state_dict().items()},
        "classes": list(CLASSES),
        "metrics": metrics,
        "seed": seed,
        "input_px": INPUT_PX,
        "mean": MEAN,
        "std": STD,
    }
    partial = result.checkpoint.with_suffix(".part")
    torch.save(document, partial)
    partial.replace(result.checkpoint)
    sample = draw(np.random.default_rng(SAMPLE_SEED), SAMPLE_HW, SAMPLE_KINDS).rgb
    partial = result.sample.with_suffix(".part")
    partial.write_bytes(cv2.imencode(".png", sample[..., ::-1])[1].tobytes())
    partial.replace(result.sample)


def main(
    out: Annotated[Path, typer.Option(help="Folder for demo.pth and demo_sample.png; made if absent.")],
    seconds_limit: Annotated[float, typer.Option(help="Longest time to take, in seconds.")] = 60,
    seed: Annotated[int, typer.Option(help="The same seed gives the same model.")] = 0,
) -> None:
    """Train the demonstration model on drawings of its own, and save it with a sample picture."""
    result = train_demo(out, seconds_limit=seconds_limit, seed=seed)
    typer.echo(
        f"{result.checkpoint}: accuracy {result.accuracy:.1%}, mIoU of the maps {result.miou:.1%} on held-out "
        f"drawings, after {result.steps} steps in {result.seconds:.0f} s"
    )


if __name__ == "__main__":
    typer.run(main)
