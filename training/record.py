"""What a run leaves behind, written after every epoch: checkpoints, figures, pictures."""

from __future__ import annotations

import copy
import csv
import json
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytorch_lightning as lightning
import torch
from rich.console import Console

from training.curves import draw_curves
from training.loop import Loop
from training.samples import stack

BEST, LAST, HISTORY, METRICS = "best.pt", "last.ckpt", "history.csv", "metrics.json"
SAMPLES = 6  # photos in the picture of each epoch
JPEG_QUALITY = 88


class Record(lightning.Callback):
    """Keeps the history of a run and writes its folder. All of its state is in ``last.ckpt``.

    Args:
        folder: Of the run.
        facts: What ``best.pt`` holds beside weights and metrics; plain values.
    """

    def __init__(self, folder: Path, facts: dict[str, Any], console: Console) -> None:
        self.folder, self.facts, self.console = folder, facts, console
        self.history: list[dict[str, float]] = []
        self._start_s = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"history": self.history}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.history = list(state["history"])

    def on_train_start(self, *_: Any) -> None:  # lightning leaves out on_train_epoch_start when it resumes
        self._start_s = time.monotonic()

    def on_train_epoch_start(self, *_: Any) -> None:
        self._start_s = time.monotonic()

    def on_train_epoch_end(self, trainer: lightning.Trainer, loop: lightning.LightningModule) -> None:
        """After training and measuring. ``last.ckpt`` comes last: what it knows, the other files have."""
        assert isinstance(loop, Loop)
        self.history.append(self._row(trainer, loop))
        if trainer.is_global_zero:
            assert trainer.logger is not None
            trainer.logger.log_metrics(self.history[-1], step=len(self.history))
            self._write(loop)
        trainer.save_checkpoint(self.folder / LAST)  # every process takes part

    def _row(self, trainer: lightning.Trainer, loop: Loop) -> dict[str, float]:
        return {
            "epoch": trainer.current_epoch + 1,
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            "train_loss": float(trainer.callback_metrics["train_loss"]),
            **{f"val_{name}": value for name, value in loop.figures.items() if "/" not in name},
            "seconds": time.monotonic() - self._start_s,
        }

    def _write(self, loop: Loop) -> None:
        if loop.recipe.select == "last" or self._is_best(loop.task.watched):
            self.save_result(loop, {"epoch": len(self.history), "val": loop.figures})
        self._write_history()
        draw_samples(loop, self.folder / "samples" / f"epoch_{len(self.history):02d}.jpg")
        row = self.history[-1]
        figures = ", ".join(f"{name} {row[name]:.4g}" for name in row if name not in ("epoch", "seconds"))
        self.console.print(f"epoch {len(self.history)}/{loop.recipe.epochs}: {figures} ({row['seconds']:.0f} s)")

    def _is_best(self, watched: str) -> bool:
        """Whether no epoch before the latest one was as good."""
        *before, latest = (row[f"val_{watched}"] for row in self.history)
        return latest > max(before, default=-np.inf)

    def _write_history(self) -> None:
        with (self.folder / HISTORY).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(self.history[0]))
            writer.writeheader()
            writer.writerows(self.history)

    def save_result(self, loop: Loop, metrics: dict[str, Any]) -> None:
        """``best.pt``, whichever epoch's it is: plain values and tensors, written under another name first."""
        state = {name: value.detach().cpu().contiguous() for name, value in loop.result.state_dict().items()}
        partial = self.folder / f"{BEST}.part"
        torch.save({"state_dict": state, **self.facts, "metrics": metrics}, partial)
        partial.replace(self.folder / BEST)

    def finish(self, loop: Loop, metrics: dict[str, Any]) -> None:
        """Figures on both splits, in ``best.pt`` and ``metrics.json``; the curves."""
        self.save_result(loop, metrics)
        draw_curves(self.history, self.folder / "curves.png")
        summary = {**self.facts, "metrics": metrics, "minutes": sum(row["seconds"] for row in self.history) / 60}
        (self.folder / METRICS).write_text(json.dumps(summary, indent=2), encoding="utf-8")


def draw_samples(loop: Loop, path: Path) -> None:
    """Some photos of the validation split, evenly spaced, as the task draws them; no file where it draws nothing."""
    count = len(loop.val_set.photos)
    numbers = np.linspace(0, count - 1, min(SAMPLES, count)).round().astype(int)
    rgbs, images, targets = zip(*(loop.val_set.show(int(number)) for number in numbers), strict=True)
    inputs = loop.normalise(torch.stack(images).to(loop.device))
    rows = loop.task.draw(copy.deepcopy(loop.result).cpu().eval(), inputs.cpu(), rgbs, torch.stack(targets))
    if not rows:
        return
    path.parent.mkdir(exist_ok=True)
    done, encoded = cv2.imencode(".jpg", stack(rows)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    assert done  # uint8 with 3 channels always encodes
    path.write_bytes(encoded.tobytes())
