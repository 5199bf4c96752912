"""Networks that label pixels: one whose probabilities can be worked out on paper, and one with strides."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from export.build import build_archive
from export.default_models import METHOD_FIELDS
from weakseg.card import Weights
from weakseg.models.classifier import Normalisation
from weakseg.models.pixel import load
from weakseg.models.pixel.load import PixelModel

AS_IT_IS = Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (33, 50))  # inputs in [0, 1]


class OddsNet(nn.Module):
    """Two classes, by the pixel's own colour: odds of 4 ** blue (background), 3 ** red and 6 ** green, in [0, 1].

    Probabilities of background, red and green: black 1/3 each; blue 2/3, 1/6, 1/6; red 0.2, 0.6, 0.2; green 0.125,
    0.125, 0.75; yellow 0.1, 0.3, 0.6.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1, bias=False)
        with torch.no_grad():
            self.layer.weight.zero_()
            self.layer.weight[0, 2] = math.log(4)
            self.layer.weight[1, 0] = math.log(3)
            self.layer.weight[2, 1] = math.log(6)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images)


class StridedNet(nn.Module):
    """Random weights, stride 4: pads at the right and the bottom, enlarges again and crops."""

    def __init__(self, outputs: int, width: int = 8) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(3, width, 4, stride=4), nn.ReLU())
        self.score = nn.Conv2d(width, outputs, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        padded = nn.functional.pad(images, (0, -width % 4, 0, -height % 4))
        scores = 8 * self.score(self.down(padded))
        return nn.functional.interpolate(scores, scale_factor=4.0, mode="bilinear")[:, :, :height, :width]


def build_odds_archive(directory: Path, *, name: str, version: str = "3.2") -> Path:
    """``directory/name.mar`` of `OddsNet`: red pixels are red by 0.6, green ones green by 0.75; blue ones neither."""
    weights = Weights(source="worked out on paper", licence="none", sha256="none")
    model = PixelModel("odds", {}, OddsNet().eval(), ("red", "green"), AS_IT_IS, 128, weights)
    fields = {**METHOD_FIELDS["pixels"], "version": version}
    return build_archive(model, name=name, directory=directory, card_fields=fields).path


def strided_model(classes: tuple[str, ...] = ("shoe", "sock", "lace"), max_side: int = 64) -> PixelModel:
    """Random, but the same every time."""
    torch.manual_seed(0)
    weights = Weights(source="random numbers", licence="none", sha256="0" * 64)
    network = StridedNet(len(classes) + 1).eval()
    return PixelModel("strided", {}, network, classes, AS_IT_IS, max_side, weights)


def build_strided(name: str, outputs: int, options: Mapping[str, Any] | None = None) -> nn.Module:
    """In the place of `weakseg.models.pixel.registry.build_pixel_network`."""
    assert name == "strided"
    return StridedNet(outputs, **(options or {}))


def know_strided(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints of ``strided`` can be loaded."""
    monkeypatch.setattr(load, "build_pixel_network", build_strided)


def write_checkpoint(path: Path, classes: tuple[str, ...] = ("shoe", "sock"), **changes: Any) -> Path:
    """A checkpoint of ``strided`` as ``python -m training`` writes it; None leaves a field out."""
    torch.manual_seed(0)
    content = {
        "state_dict": StridedNet(len(classes) + 1, width=6).state_dict(),
        "network": "strided",
        "network_options": {"width": 6},
        "pixels": True,
        "classes": list(classes),
        "hw": [33, 50],
        "max_side": 64,
        "mean": [0.4, 0.5, 0.6],
        "std": [0.2, 0.25, 0.3],
        "multi_label": False,
        **changes,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({name: value for name, value in content.items() if value is not None}, path)
    return path
