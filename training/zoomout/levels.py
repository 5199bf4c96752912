"""Zoom-out features: what a superpixel looks like to a classifier's layers, from its own edges to the whole photo.

Mostajabi, Yadollahpour & Shakhnarovich, CVPR 2015. Differs from the paper: the layers' receptive fields are the zoom
(its last experiments do the same), one layer of each resolution stands for all, and there are no features of colour
and texture.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.zoomout.superpixels import Superpixels, share_cells
from weakseg.models.tape import Tape


def find_levels(tape: Tape, input_px: int) -> tuple[str, ...]:
    """The deepest layer of each resolution, finest first; a layer of class maps is none: the logits speak for it."""
    with torch.no_grad():
        values = tape.run(torch.zeros(1, 3, input_px, input_px))
    skipped = _class_map_layers(tape)
    by_width = {values[layer].shape[3]: layer for layer in tape.layers if layer not in skipped}
    return tuple(by_width[width] for width in sorted(by_width, reverse=True))


def _class_map_layers(tape: Tape) -> set[str]:
    """The layer of class maps, and what leads to it at the same number of channels: the convolution before its ReLU."""
    with torch.no_grad():
        values = tape.run(torch.zeros(1, 3, 64, 64))
    return {layer for layer in tape.layers if tape.class_map and values[layer].shape[1] == tape.class_count}


def describe(levels: Sequence[Tensor], logits: Tensor, superpixels: Superpixels) -> NDArray[np.float32]:
    """Features of one photo's superpixels: the mean of each level over the superpixel, then the logits of the photo.

    Each part is divided by its mean length over the photo's superpixels, so that none drowns the others.

    Args:
        levels: Of one photo, (F, h', w') each; F differs.
        logits: (C,).
        superpixels: (H, W), S of them.
    Returns:
        (S, D) float32, D the sum of all F, and C.
    """
    parts = [_average(level, superpixels) for level in levels]  # (S, F) each
    whole = np.tile(logits.numpy(), (len(parts[0]), 1))  # (S, C)
    return np.concatenate([_scale(part) for part in [*parts, whole]], axis=1)  # (S, D)


def _average(level: Tensor, superpixels: Superpixels) -> NDArray[np.float32]:
    cells = level.flatten(1).T.numpy()  # (h' w', F)
    return np.asarray(share_cells(superpixels, (level.shape[1], level.shape[2])) @ cells, np.float32)  # (S, F)


def _scale(part: NDArray[np.float32]) -> NDArray[np.float32]:
    length = float(np.linalg.norm(part, axis=1).mean())
    return part / np.float32(length) if length > 0 else part
