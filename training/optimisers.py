"""Optimisers and learning rates, as a recipe names them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from training.recipe import Recipe

COSINE_END = 0.01  # of the first learning rate


def build_optimiser(network: nn.Module, recipe: Recipe, new: Iterable[str]) -> torch.optim.Optimizer:
    """SGD or AdamW over the parameters that learn; new layers at their own rate, no decay of biases and norms."""
    groups = group_parameters(network, recipe, frozenset(new))
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum)
    return torch.optim.AdamW(groups, lr=recipe.learning_rate)


def group_parameters(network: nn.Module, recipe: Recipe, new: frozenset[str]) -> list[dict[str, object]]:
    """Up to four groups: old and new layers, with and without weight decay."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, value in network.named_parameters():
        if value.requires_grad:
            groups.setdefault((name in new, value.ndim > 1), []).append(value)
    return [
        {
            "params": values,
            "lr": recipe.learning_rate * (recipe.head_rate if is_new else 1),
            "weight_decay": recipe.weight_decay if decays else 0.0,
        }
        for (is_new, decays), values in groups.items()
    ]


def build_schedule(optimiser: torch.optim.Optimizer, recipe: Recipe, steps_per_epoch: float) -> LambdaLR:
    """One learning rate per step."""
    return LambdaLR(optimiser, rate_at(recipe, steps_per_epoch))


def rate_at(recipe: Recipe, steps_per_epoch: float) -> Callable[[int], float]:
    """Step number, from 0, to the factor on the learning rate."""

    def factor(step: int) -> float:
        epoch = step / steps_per_epoch
        if epoch < recipe.warmup_epochs:
            return (step + 1) / (recipe.warmup_epochs * steps_per_epoch + 1)
        if recipe.schedule == "cosine":
            done = (epoch - recipe.warmup_epochs) / max(recipe.epochs - recipe.warmup_epochs, 1e-9)
            return COSINE_END + (1 - COSINE_END) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
        if recipe.schedule == "step":
            return float(recipe.step_factor ** int(epoch / recipe.step_epochs))
        return 1.0

    return factor
