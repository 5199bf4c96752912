"""Any input size for networks whose strides want multiples: pad inside, crop the answer.

No Python number is taken from a shape, so that tracing keeps height and width dynamic.
"""

from __future__ import annotations

import torch
from torch import Tensor


def pad_to_multiple(images: Tensor, multiple: int) -> Tensor:
    """(B, C, h, w) to the next multiples of ``multiple``: zeros below and to the right.

    Zero is the mean colour, once pictures are normalised.
    """
    height, width = images.shape[2], images.shape[3]
    return torch.nn.functional.pad(images, (0, -width % multiple, 0, -height % multiple))  # (B, C, h + ., w + .)


def crop_to(maps: Tensor, like: Tensor) -> Tensor:
    """The upper left of (B, C, H, W) at the height and width of ``like``: undoes `pad_to_multiple`."""
    return maps[:, :, : like.shape[2], : like.shape[3]]  # (B, C, h, w)
