"""What is learned: loss, metrics and sample pictures of each kind of training. The loop knows nothing of these."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy
from torchmetrics.functional.classification import binary_average_precision
from torchmetrics.utilities.data import dim_zero_cat

from training.masks.metrics import PixelScores
from training.recipe import Recipe
from training.samples import class_maps, draw_labels, draw_maps
from weakseg.types import Rgb
from weakseg.voc import VOID


class Task(ABC):
    """One kind of training. A network that learns from pixel masks needs nothing else but one of these.

    Attributes:
        watched: The figure that decides with ``select: best`` which epoch is the result; higher is better.
    """

    watched: str

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """(B,) loss of every photo from the network's outputs and the targets of a batch."""

    @abstractmethod
    def metric(self) -> Metric:
        """A fresh metric, to be updated by `update`. Processes add up their shares of it."""

    @abstractmethod
    def update(self, metric: Metric, outputs: Tensor, targets: Tensor) -> None:
        """Add the outputs for some photos."""

    @abstractmethod
    def summarise(self, metric: Metric) -> dict[str, float]:
        """Named figures; the watched one among them, and those of single classes as ``name/class``."""

    @abstractmethod
    def draw(self, network: nn.Module, images: Tensor, photos: Sequence[Rgb], targets: Tensor) -> list[Rgb]:
        """A picture (H, W', 3) of what the network sees in each photo, all equally high; none where it has no maps.

        Args:
            network: On the CPU, in evaluation mode.
            images: (N, 3, h, w) float32, normalised.
            photos: (H, W, 3) uint8 RGB each, the same ones.
            targets: Of these photos.
        """


class _Labels(Task):
    """Photos with names of what they show: targets (B, C), 1 for every class shown."""

    def draw(self, network: nn.Module, images: Tensor, photos: Sequence[Rgb], targets: Tensor) -> list[Rgb]:
        maps = class_maps(network, images)  # (N, C, h', w')
        if maps is None:
            return []
        shown = [row.nonzero().flatten().tolist() for row in targets]
        named = [{self.classes[index]: maps[n, index].numpy() for index in row} for n, row in enumerate(shown)]
        return [draw_maps(photo, of_photo) for photo, of_photo in zip(photos, named, strict=True)]


class SingleLabel(_Labels):
    """Softmax cross entropy: exactly one class per photo."""

    watched = "accuracy"

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets.argmax(1), reduction="none")  # (B,)

    def metric(self) -> Metric:
        return MulticlassAccuracy(len(self.classes), average="micro")

    def update(self, metric: Metric, outputs: Tensor, targets: Tensor) -> None:
        metric.update(outputs, targets.argmax(1))

    def summarise(self, metric: Metric) -> dict[str, float]:
        return {"accuracy": float(metric.compute())}


class MultiLabel(_Labels):
    """Sigmoid cross entropy: any number of classes per photo. DCSM paper, "(1) Experiment"."""

    watched = "map"

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(outputs, targets, reduction="none").sum(1)  # (B,)

    def metric(self) -> Metric:
        return SeenAveragePrecision()

    def update(self, metric: Metric, outputs: Tensor, targets: Tensor) -> None:
        metric.update(outputs.sigmoid(), targets.long())

    def summarise(self, metric: Metric) -> dict[str, float]:
        """Mean over the classes that occur, and each of them."""
        values = zip(self.classes, metric.compute().tolist(), strict=True)
        each = {f"average_precision/{name}": value for name, value in values if not math.isnan(value)}
        return {"map": sum(each.values()) / len(each), **each}


class Pixels(Task):
    """Softmax cross entropy in every pixel: targets (B, h, w), 0 = background, c + 1 = class c, 255 = void.

    FCN paper (Long, Shelhamer & Darrell, CVPR 2015), section 4.3; there summed over pixels, here their mean.

    Args:
        dice: Weight of the soft Dice loss, 1 - (2 |p t| + 1) / (|p| + |t| + 1), mean over all classes and the
            background (Milletari et al., 3DV 2016, with |p| instead of |p^2|, and smoothed by 1 pixel): it does not
            drown small objects.
    """

    watched = "mean_iu"

    def __init__(self, classes: Sequence[str], *, dice: float = 0.0) -> None:
        super().__init__(classes)
        self.dice = dice

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        known = targets != VOID  # (B, h, w)
        labels = targets.long().masked_fill(~known, 0)  # (B, h, w)
        each = F.cross_entropy(outputs, labels, reduction="none") * known  # (B, h, w)
        loss = each.sum((1, 2)) / known.sum((1, 2)).clamp(min=1)  # (B,)
        return loss + self.dice * dice_loss(outputs, labels, known) if self.dice else loss

    def metric(self) -> Metric:
        return PixelScores(len(self.classes) + 1)

    def update(self, metric: Metric, outputs: Tensor, targets: Tensor) -> None:
        metric.update(outputs, targets)

    def summarise(self, metric: Metric) -> dict[str, float]:
        """The paper's four figures, and ``iu/CLASS``."""
        assert isinstance(metric, PixelScores)
        return metric.summarise(self.classes)

    def draw(self, network: nn.Module, images: Tensor, photos: Sequence[Rgb], targets: Tensor) -> list[Rgb]:
        """Photo, truth, prediction."""
        with torch.no_grad():
            predicted = network(images).argmax(1)  # (N, h, w)
        labels = zip(targets.numpy(), predicted.numpy().astype("uint8"), strict=True)
        return [
            draw_labels(photo, {"truth": truth, "prediction": found})
            for photo, (truth, found) in zip(photos, labels, strict=True)
        ]


def dice_loss(outputs: Tensor, labels: Tensor, known: Tensor) -> Tensor:
    """(B,): logits (B, O, h, w), labels (B, h, w) int64 in [0, O), and where they are known, (B, h, w) bool.

    A class that the photo does not show adds what is predicted of it.
    """
    probs = outputs.softmax(1) * known[:, None]  # (B, O, h, w)
    truth = F.one_hot(labels, outputs.shape[1]).permute(0, 3, 1, 2) * known[:, None]  # (B, O, h, w)
    both = (probs * truth).sum((2, 3))  # (B, O)
    all_of_it = probs.sum((2, 3)) + truth.sum((2, 3))  # (B, O)
    return (1 - (2 * both + 1) / (all_of_it + 1)).mean(1)


class SeenAveragePrecision(Metric):
    """Average precision of every class: (C,) in [0, 1], nan for classes that no photo shows."""

    full_state_update = False
    probs: list[Tensor]
    targets: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("probs", [], dist_reduce_fx="cat")
        self.add_state("targets", [], dist_reduce_fx="cat")

    def update(self, probs: Tensor, targets: Tensor) -> None:
        """(B, C) in [0, 1], and (B, C) 0 or 1."""
        self.probs.append(probs)
        self.targets.append(targets)

    def compute(self) -> Tensor:
        probs, targets = dim_zero_cat(self.probs), dim_zero_cat(self.targets)  # (N, C), (N, C)
        values = [
            binary_average_precision(column, truth) if truth.any() else torch.tensor(math.nan)
            for column, truth in zip(probs.T, targets.T, strict=True)
        ]
        return torch.stack([value.to(probs.device) for value in values])  # (C,)


def build_task(recipe: Recipe, classes: Sequence[str]) -> Task:
    """The task that the recipe names."""
    if recipe.learns_masks:
        return Pixels(classes, dice=recipe.dice)
    return MultiLabel(classes) if recipe.multi_label else SingleLabel(classes)
