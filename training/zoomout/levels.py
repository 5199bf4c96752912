"""Zoom-out features: what a superpixel looks like to a classifier's layers, from its own edges to the whole photo.

Mostajabi, Yadollahpour & Shakhnarovich, CVPR 2015. Differs from the paper: the layers' receptive fields are the zoom
(its later experiments do the same), one layer of each resolution instead of all, and no colour or texture features.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from training.zoomout.superpixels import Superpixels, share_cells


class _Recorder(fx.Interpreter):
    """Runs a network and keeps the last output at each resolution: no hooks, and nothing stays behind."""

    def __init__(self, network: fx.GraphModule) -> None:
        super().__init__(network)
        self.by_hw: dict[tuple[int, int], Tensor] = {}  # in the order of the network

    def run_node(self, node: fx.Node) -> Any:
        found = super().run_node(node)
        if node.op not in ("placeholder", "output", "get_attr") and isinstance(found, Tensor) and found.dim() == 4:
            self.by_hw[found.shape[2], found.shape[3]] = found
        return found


def record_levels(features: nn.Module, images: Tensor) -> list[Tensor]:
    """The last activation of each resolution, in the order of the network.

    Args:
        features: A traced network, see `weakseg.models.split.SplitNetwork`.
        images: (B, 3, h, w), normalised.
    Returns:
        One (B, F, h', w') per resolution.
    """
    recorder = _Recorder(features if isinstance(features, fx.GraphModule) else fx.symbolic_trace(features))
    with torch.inference_mode():
        recorder.run(images)
    return list(recorder.by_hw.values())


def describe(levels: list[Tensor], superpixels: Superpixels) -> NDArray[np.float32]:
    """Features of one photo's superpixels: the mean of each level over the superpixel, then that of the whole photo.

    Each level is divided by its mean length over the photo's superpixels, so that none drowns the others.

    Args:
        levels: Of one photo, (1, F, h', w') each.
        superpixels: (H, W), S of them.
    Returns:
        (S, D) float32, D the sum of all F, and the last F once more.
    """
    parts = [_average(level, superpixels) for level in levels]  # (S, F) each
    whole = levels[-1].mean((2, 3)).numpy()  # (1, F)
    parts.append(np.repeat(whole, len(parts[0]), axis=0))
    return np.concatenate([_scale(part) for part in parts], axis=1)  # (S, D)


def _average(level: Tensor, superpixels: Superpixels) -> NDArray[np.float32]:
    cells = level[0].flatten(1).T.numpy()  # (h' w', F)
    return np.asarray(share_cells(superpixels, (level.shape[2], level.shape[3])) @ cells, np.float32)  # (S, F)


def _scale(part: NDArray[np.float32]) -> NDArray[np.float32]:
    length = float(np.linalg.norm(part, axis=1).mean())
    return part / np.float32(length) if length > 0 else part
