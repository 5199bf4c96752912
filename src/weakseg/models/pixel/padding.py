"""Any size in, the same size out: pictures are padded to what a network's strides need, its logits cropped back."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def pad_to_multiple(images: Tensor, stride: int) -> Tensor:
    """Repeat the last row and column until both sides are multiples of ``stride``.

    At the bottom and on the right only, so that the cells of the first row and column stay where they are. Repeated
    pixels rather than zeros (the mean colour, in normalised pictures): an object that the frame cuts off goes on as it
    was, where a grey stripe would be an edge that no photo has. A size that fits already is left alone.

    Args:
        images: (B, c, h, w) float32, h and w from 1 on.
    Returns:
        (B, c, h', w'), h' and w' the next multiples of ``stride``. Traceable with h and w dynamic.
    """
    height, width = images.shape[2], images.shape[3]
    below = (stride - height % stride) % stride
    right = (stride - width % stride) % stride
    return F.pad(images, (0, right, 0, below), mode="replicate")


def crop_to(maps: Tensor, like: Tensor) -> Tensor:
    """The top left part of (B, O, h', w') that has the size of ``like`` (B, c, h, w): (B, O, h, w)."""
    return maps[:, :, : like.shape[2], : like.shape[3]]
