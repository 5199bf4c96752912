"""Pictures of what a classifier sees, drawn while it learns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import torch
from matplotlib import colormaps
from numpy.typing import NDArray
from torch import Tensor, nn

from weakseg.attribution.placement import place_cells
from weakseg.errors import UnsupportedNetworkError
from weakseg.models.split import split_network
from weakseg.types import Rgb
from weakseg.voc import palette

HEIGHT_PX = 160
STEP_PX = 8  # of a class activation map, in pixels of the network's input
_PALETTE = palette()  # (256, 3); 255, void, is almost white
_HEAT = colormaps["inferno"](np.arange(256), bytes=True)[:, :3]  # (256, 3)


def class_maps(network: nn.Module, images: Tensor) -> Tensor | None:
    """Evidence for every class at every position: the class activation map (Zhou et al., CVPR 2016) or its own map.

    Args:
        images: (N, 3, h, w) float32, normalised.
    Returns:
        (N, C, h', w') float32, cells that divide the photo evenly; None where the network has neither kind of map.
    """
    with torch.no_grad():
        if hasattr(network, "class_map"):
            found: Tensor = network.class_map(images)
            return found
        try:
            split = split_network(network, type(network).__name__)
        except UnsupportedNetworkError:
            return None
        maps = torch.einsum("cf,nfhw->nchw", split.weight, split.features(images))  # (N, C, n_y, n_x)
        return place_cells(maps, images, split.grid, images[..., ::STEP_PX, ::STEP_PX])  # (N, C, h / 8, w / 8)


def draw_maps(photo: Rgb, maps: Mapping[str, NDArray[np.float32]]) -> Rgb:
    """A photo (H, W, 3) and, beside it, the positive part of each map (h', w') over its maximum: (HEIGHT_PX, W', 3)."""
    small = _shrink(photo)
    return np.concatenate([small, *(_name(_overlay(small, found), name) for name, found in maps.items())], axis=1)


def draw_labels(photo: Rgb, label_maps: Mapping[str, NDArray[np.uint8]]) -> Rgb:
    """A photo (H, W, 3) and, beside it, each label map (h, w) in VOC's colours; void is white: (HEIGHT_PX, W', 3)."""
    small = _shrink(photo)
    hw = small.shape[1::-1]
    tints = {
        name: _PALETTE[cv2.resize(found, hw, interpolation=cv2.INTER_NEAREST)] for name, found in label_maps.items()
    }
    mixed = {name: np.asarray(cv2.addWeighted(small, 0.5, tint, 0.5, 0), np.uint8) for name, tint in tints.items()}
    return np.concatenate([small, *(_name(picture, name) for name, picture in mixed.items())], axis=1)


def stack(rows: Sequence[Rgb]) -> Rgb:
    """Pictures of one height and any widths, one below the other."""
    width = max(row.shape[1] for row in rows)
    return np.concatenate([np.pad(row, ((0, 2), (0, width - row.shape[1]), (0, 0))) for row in rows])  # (H, W, 3)


def _shrink(photo: Rgb) -> Rgb:
    width_px = max(1, round(photo.shape[1] * HEIGHT_PX / photo.shape[0]))
    return np.asarray(cv2.resize(photo, (width_px, HEIGHT_PX), interpolation=cv2.INTER_AREA), np.uint8)


def _overlay(photo: Rgb, evidence: NDArray[np.float32]) -> Rgb:
    heat = np.clip(evidence, 0, None) / max(float(evidence.max()), 1e-6)  # (h', w')
    large = cv2.resize(heat, photo.shape[1::-1], interpolation=cv2.INTER_LINEAR)  # (H, W)
    colours = _HEAT[np.rint(np.clip(large, 0, 1) * 255).astype(np.uint8)]  # (H, W, 3)
    grey = np.repeat(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)  # (H, W, 3)
    return np.asarray(cv2.addWeighted(colours, 0.6, grey, 0.4, 0), dtype=np.uint8)


def _name(picture: Rgb, text: str) -> Rgb:
    labelled = np.ascontiguousarray(picture)
    cv2.putText(labelled, text, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    return labelled
