"""The training loop. It knows batches, steps and averages, and leaves to the task what is learned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytorch_lightning as lightning
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader
from torchmetrics import MeanMetric

from training.optimisers import build_optimiser, build_schedule
from training.photos import Batch, PhotoSet, line_up, load, mix, shuffle
from training.recipe import Recipe
from training.start import Start
from training.tasks import Task

BatchNorm = torch.nn.modules.batchnorm._BatchNorm
RESIZE_STEP_PX = 32  # random sizes are multiples of this


class Loop(lightning.LightningModule):
    """One network, one task, one recipe.

    What is random depends on the seed, the step (dropout, sizes) and the photo and epoch (variation) alone. So a
    training that was killed goes on from its last epoch exactly as if nothing had happened.
    """

    mean: Tensor  # (3, 1, 1) in [0, 255]
    std: Tensor

    def __init__(self, start: Start, task: Task, recipe: Recipe, train: PhotoSet, val: PhotoSet) -> None:
        super().__init__()
        self.network = start.network.to(memory_format=torch.channels_last)  # up to twice as fast on a CPU
        self.averaged = _average(self.network, recipe.ema) if recipe.ema else None
        self.task, self.recipe, self.new = task, recipe, start.new
        self.train_set, self.val_set = train, val
        self.register_buffer("mean", torch.tensor(start.mean)[:, None, None] * 255, persistent=False)  # (3, 1, 1)
        self.register_buffer("std", torch.tensor(start.std)[:, None, None] * 255, persistent=False)  # (3, 1, 1)
        self.metric = task.metric()
        self.mean_loss = MeanMetric()
        self.figures: dict[str, float] = {}  # of the latest measurement

    @property
    def result(self) -> nn.Module:
        """The network that is measured and saved: with averaged weights, where there are such."""
        return self.averaged.module if self.averaged is not None else self.network

    def normalise(self, images: Tensor) -> Tensor:
        """(B, 3, h, w) uint8 to the network's input, float32."""
        inputs = (images.float() - self.mean) / self.std
        return inputs.contiguous(memory_format=torch.channels_last)  # (B, 3, h, w)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Called for every epoch anew."""
        picks = shuffle(len(self.train_set.photos), self.recipe.seed, self.current_epoch, *self._share())
        return load(self.train_set, picks, even=True)

    def val_dataloader(self) -> DataLoader[Batch]:
        return self.measuring_loader(self.val_set)

    def measuring_loader(self, photos: PhotoSet) -> DataLoader[Batch]:
        return load(photos, line_up(len(photos.photos), *self._share()), even=False)

    def _share(self) -> tuple[int, int]:
        return self.trainer.global_rank, self.trainer.world_size

    def configure_optimizers(self) -> Any:
        optimiser = build_optimiser(self.network, self.recipe, self.new)
        steps = self.trainer.estimated_stepping_batches / self.recipe.epochs
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": build_schedule(optimiser, self.recipe, steps), "interval": "step"},
        }

    def on_train_start(self) -> None:
        self.train()

    def train(self, mode: bool = True) -> Loop:
        """Frozen layers keep their statistics, all where the recipe says so; averaged weights are never trained."""
        super().train(mode)
        if self.averaged is not None:
            self.averaged.eval()
        for module in self.network.modules():
            own = list(module.parameters(recurse=False))
            is_frozen = bool(own) and not any(value.requires_grad for value in own)
            if is_frozen or (self.recipe.batch_norm == "kept" and isinstance(module, BatchNorm)):
                module.eval()
        return self

    def training_step(self, batch: Batch, _: int) -> Tensor:
        torch.manual_seed(mix(self.recipe.seed, self.global_step, self.global_rank))
        inputs = self._resize(self.normalise(batch.images))
        outputs = self.network(inputs)
        logits: Tensor = getattr(outputs, "logits", outputs)  # GoogLeNet and Inception have more to say in training
        loss = self.task.loss(logits.float(), batch.targets).mean()
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True, logger=False, sync_dist=True)
        return loss

    def _resize(self, inputs: Tensor) -> Tensor:
        """The batch at a random size of the recipe's range. DCSM paper: "we randomly resize input image"."""
        if self.recipe.resize is None:
            return inputs
        low, high = self.recipe.resize
        factor = low + (high - low) * float(torch.rand(()))
        hw = [max(RESIZE_STEP_PX, round(side * factor / RESIZE_STEP_PX) * RESIZE_STEP_PX) for side in inputs.shape[2:]]
        return F.interpolate(inputs, hw, mode="bilinear", antialias=True)  # (B, 3, h, w)

    def on_train_batch_end(self, *_: Any) -> None:
        if self.averaged is not None:
            self.averaged.update_parameters(self.network)

    def validation_step(self, batch: Batch, _: int) -> None:
        outputs = self.result(self.normalise(batch.images)).float()
        counted, targets = outputs[batch.counts], batch.targets[batch.counts]
        if len(counted):
            self.task.update(self.metric, counted, targets)
            self.mean_loss.update(self.task.loss(counted, targets))

    def on_validation_epoch_end(self) -> None:
        self.figures = {"loss": float(self.mean_loss.compute()), **self.task.summarise(self.metric)}
        self.metric.reset()
        self.mean_loss.reset()


def _average(network: nn.Module, decay: float) -> AveragedModel:
    """Averaged weights and running statistics (exponential moving average), which follow fast at first."""
    averaged = AveragedModel(network, avg_fn=_averaging(decay), use_buffers=True)
    return averaged.requires_grad_(False)


def _averaging(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    def average(old: Tensor, now: Tensor, count: Tensor | int) -> Tensor:
        kept = min(decay, (1 + int(count)) / (10 + int(count)))
        return old + (now - old) * (1 - kept)  # exactly the old one where nothing changed

    return average
