"""A model archive whose answers a test can work out by hand: the map of a class is one colour channel of the photo."""

from __future__ import annotations

import io
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from weakseg.archive import CONFIG_FILE
from weakseg.card import ModelCard
from weakseg.runtime import TORCHSCRIPT_FILE

CLASSES = ("cat", "dog", "sky")  # red, green, blue; sky is no VOC class


class ColourNetwork(nn.Module):
    """Scores: mean of each channel. Maps: the channel itself. All in [0, 1]; three labels or fewer, no groups."""

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.labels = labels

    def forward(self, images: Tensor, labels: Tensor, among: Tensor, rivals: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        maps = images.permute(0, 3, 1, 2)[:, : self.labels].to(torch.float32) / 255  # (B, 3, h, w)
        scores = maps.mean(dim=(2, 3))  # (B, 3)
        competing = torch.gather(scores, 1, among.clamp(min=0)).masked_fill(among < 0, -1)  # (B, M)
        ranked = torch.gather(among, 1, torch.argsort(competing, dim=1, descending=True))  # (B, M)
        chosen = torch.where(labels < 0, torch.gather(ranked, 1, (-labels - 1).clamp(min=0)), labels)  # (B, K)
        index = chosen[:, :, None, None].expand(-1, -1, maps.size(2), maps.size(3))  # (B, K, h, w)
        return scores, torch.gather(maps, 1, index), chosen


def colour_card(**changes: Any) -> ModelCard:
    """Plain thresholds at 0.5; the network's input is 32 x 48; labels with a score of at least 0.15 are answered."""
    fields: dict[str, Any] = {
        "name": "colours",
        "network": "colour channels",
        "method": "cam",
        "classes": CLASSES,
        "preprocessing": {"height": 32, "width": 48, "mean": (0, 0, 0), "std": (1, 1, 1)},
        "weights": {"source": "made by a test", "licence": "none", "sha256": "0" * 64, "demonstration": True},
        "runtime": "torchscript",
        "tag_threshold": 0.15,
        "photo_task": {"refine": "none", "threshold": 0.5},
        "box_task": {"refine": "none", "threshold": 0.5},
    }
    return ModelCard.model_validate(fields | changes)


def write_colour_archive(path: Path, **changes: Any) -> Path:
    """A .mar file that any process can open."""
    buffer = io.BytesIO()
    network = ColourNetwork(len(changes.get("classes", CLASSES))).eval()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.*")
        torch.jit.save(torch.jit.script(network), buffer)
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(CONFIG_FILE, colour_card(**changes).to_yaml())
        archive.writestr(TORCHSCRIPT_FILE, buffer.getvalue())
    return path


def write_pixel_archive(path: Path, **changes: Any) -> Path:
    """The same as a network that learned masks of cat, dog and sky: it sees photos of 96 pixels as they are."""
    preprocessing = {"height": 32, "width": 48, "max_side": 96, "mean": (0, 0, 0), "std": (1, 1, 1)}
    return write_colour_archive(path, **{"method": "pixels", "preprocessing": preprocessing} | changes)
