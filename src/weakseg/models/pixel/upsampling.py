"""How a decoder makes a map larger: one family for all of them.

The slides (Naplava, Kluj, Svec: Image Segmentation using Neural Networks, "Upsampling methods") name five methods and
show a figure; SegNet (Badrinarayanan et al., 2015) and DeconvNet (Noh et al., ICCV 2015) add stored pooling indices.
The slides define none of the three "demaxpools". Here, with blocks of k x k cells in place of one value:

- ``bilinear``: interpolation, half-pixel centres.
- ``transposed``: a transposed convolution of stride k, learned, from every channel to every channel, initialised to
  bilinear interpolation (FCN, section 3.3); kernels of 2k, or 2k - 1 where k is odd.
- ``naive_unpooling`` (naive demaxpool): the value in every cell of the block.
- ``fixed_unpooling`` (fixed demaxpool): the value in the block's upper left cell, zeros elsewhere.
- ``learned_unpooling`` (learnable demaxpool): the value times a learned k x k pattern of its channel, ones at first:
  a depthwise transposed convolution of stride k.
- ``indices_unpooling``: the value where the encoder's maximum was, zeros elsewhere; needs what
  `PoolWithIndices` stored.

Every module is called as ``module(x, indices=..., size_like=...)``, whether it needs them or not, and takes maps at
any size; nothing here becomes an operator that ONNX lacks (``max_unpool2d``) or that freezes a size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from weakseg.errors import ModelError, ShapeMismatchError
from weakseg.models.pixel.bilinear import bilinear_kernel
from weakseg.models.pixel.checks import check_text


class PoolWithIndices(nn.Module):
    """Max pooling that remembers where each maximum was.

    Differs from ``F.max_pool2d(return_indices=True)`` in what it stores: the cell within the window, 0 to k * k - 1 row
    by row, instead of a position in the map, so that it means the same at any size; and in the features' dtype, so
    that it is compared and multiplied without conversions. Of equal values the first counts, row by row, as there.

    Input (B, C, h, w), h and w multiples of k; output (B, C, h / k, w / k), and the cells in the same shape and dtype.
    """

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = _checked_factor(factor)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Raises: ShapeMismatchError: h or w is not a multiple of k."""
        if not is_tracing() and (x.shape[2] % self.factor or x.shape[3] % self.factor):
            raise ShapeMismatchError(f"Maps of {tuple(x.shape[2:])} are no multiple of {self.factor}: pad them.")
        pooled = F.max_pool2d(x, self.factor)  # (B, C, h / k, w / k)
        with torch.no_grad():
            return pooled, first_maxima(x, pooled, self.factor)


def first_maxima(x: Tensor, pooled: Tensor, factor: int) -> Tensor:
    """The first cell of each window that holds its maximum: (B, C, h / k, w / k).

    With n = 1 where a cell is not the maximum, of cells 0, 1, 2 ...: n0 (1 + n1 (1 + n2 (...))).
    """
    blocks = as_blocks(x, factor)  # (B, C, k, k, h / k, w / k)
    cells = torch.zeros_like(pooled)
    for cell in reversed(range(factor * factor - 1)):
        others = 1 - equals(blocks[:, :, cell // factor, cell % factor], pooled)  # (B, C, h / k, w / k)
        cells = (cells + 1) * others
    return cells


def equals(x: Tensor, y: Tensor) -> Tensor:
    """1 where x equals y, else 0, in the dtype of x and its shape; no gradient. Much faster than by way of bool."""
    if is_tracing():
        return (x == y).to(x.dtype)
    with torch.no_grad():
        return torch.eq(x, y, out=torch.empty_like(x))


def is_tracing() -> bool:
    """Whether ``torch.jit.trace`` looks: sizes are tensors then, and a check of them would be frozen."""
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]


def as_blocks(x: Tensor, factor: int) -> Tensor:
    """(B, C, h, w) to (B, C, k, k, h / k, w / k): the cells of every window in front; a view."""
    batch, channels, height, width = x.shape
    windows = x.reshape(batch, channels, height // factor, factor, width // factor, factor)
    return windows.permute(0, 1, 3, 5, 2, 4)  # (B, C, k, k, h / k, w / k)


def in_every_cell(x: Tensor, factor: int) -> Tensor:
    """(B, C, h, w) to (B, C, k * h, k * w): each value k x k times."""
    return F.interpolate(x, scale_factor=float(factor), mode="nearest")


def over_every_block(pattern: Tensor, like: Tensor) -> Tensor:
    """A (..., k, k) pattern side by side, once per cell of ``like``, (B, C, h, w): (..., k * h, k * w)."""
    return pattern.repeat(*[1] * (pattern.dim() - 2), like.shape[2], like.shape[3])


class Upsampling(nn.Module):
    """(B, C, h, w) to (B, C, k * h, k * w). Base of the family; a method is one `enlarge`."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor, *, indices: Tensor | None = None, size_like: Tensor) -> Tensor:
        """Enlarge.

        Args:
            x: (B, C, h, w).
            indices: What `PoolWithIndices` stored, (B, C, h, w); read by ``indices_unpooling`` only.
            size_like: Any tensor whose height and width are k * h and k * w, as the encoder's before pooling.
        Raises:
            ShapeMismatchError: size_like is not k times as large, or indices are missing or of another shape.
        """
        if not is_tracing():
            self.check(x, size_like)
        return self.enlarge(x, indices)

    def enlarge(self, x: Tensor, indices: Tensor | None) -> Tensor:
        raise NotImplementedError

    def check(self, x: Tensor, size_like: Tensor) -> None:
        wanted = (x.shape[2] * self.factor, x.shape[3] * self.factor)
        if tuple(size_like.shape[2:]) != wanted:
            raise ShapeMismatchError(
                f"size_like is {tuple(size_like.shape[2:])}; {self.factor} times {tuple(x.shape[2:])} is {wanted}."
            )


class BilinearUpsampling(Upsampling):
    """Interpolation; beyond the border the outermost value goes on."""

    def enlarge(self, x: Tensor, indices: Tensor | None) -> Tensor:  # noqa: ARG002
        return F.interpolate(x, scale_factor=float(self.factor), mode="bilinear")


class NaiveUnpooling(Upsampling):
    """The value in every cell of its block."""

    def enlarge(self, x: Tensor, indices: Tensor | None) -> Tensor:  # noqa: ARG002
        return in_every_cell(x, self.factor)


class TransposedUpsampling(Upsampling):
    """A transposed convolution that begins as bilinear interpolation; beyond the border are zeros, though.

    `weakseg.models.pixel.bilinear.LearnedUpsampling`, for logits, has one kernel per channel and a border that goes on.
    """

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__(factor)
        kernel = bilinear_kernel(factor, centred=factor % 2 == 0)
        padding = (len(kernel) - factor) // 2
        self.deconvolution = nn.ConvTranspose2d(channels, channels, len(kernel), factor, padding, bias=False)
        with torch.no_grad():
            self.deconvolution.weight.zero_()
            self.deconvolution.weight[range(channels), range(channels)] = kernel

    def enlarge(self, x: Tensor, indices: Tensor | None) -> Tensor:  # noqa: ARG002
        enlarged: Tensor = self.deconvolution(x)
        return enlarged


class PatternUnpooling(Upsampling):
    """The value times a k x k pattern: learned, one per channel, from ones on; or fixed, upper left."""

    pattern: Tensor  # (C, k, k), or (1, k, k)

    def __init__(self, channels: int, factor: int, *, learned: bool) -> None:
        super().__init__(factor)
        if learned:
            self.pattern = nn.Parameter(torch.ones(channels, factor, factor))
        else:
            upper_left = torch.zeros(1, factor, factor)
            upper_left[:, 0, 0] = 1
            self.register_buffer("pattern", upper_left, persistent=False)

    def enlarge(self, x: Tensor, indices: Tensor | None) -> Tensor:  # noqa: ARG002
        return in_every_cell(x, self.factor) * over_every_block(self.pattern.to(x.dtype), x)  # (B, C, k * h, k * w)


class IndicesUnpooling(Upsampling):
    """The value goes where the maximum was. As ``F.max_unpool2d`` with the indices of ``F.max_pool2d``."""

    jumps: ClassVar[bool] = True  # of two nearly equal values rounding decides which one is the maximum
    places: Tensor  # (k, k): the number of each cell of a window

    def __init__(self, factor: int) -> None:
        super().__init__(factor)
        places = torch.arange(factor * factor, dtype=torch.float32).reshape(factor, factor)  # (k, k)
        self.register_buffer("places", places, persistent=False)

    def enlarge(self, x: Tensor, indices: Tensor | None) -> Tensor:
        if indices is None or (not is_tracing() and indices.shape != x.shape):
            found = "none" if indices is None else tuple(indices.shape)
            raise ShapeMismatchError(f"Give the indices of that pooling, {tuple(x.shape)}; found {found}.")
        places = over_every_block(self.places.to(indices.dtype), x)  # (k * h, k * w)
        return in_every_cell(x, self.factor) * equals(in_every_cell(indices, self.factor), places)


UPSAMPLINGS: dict[str, Callable[[int, int], Upsampling]] = {  # from channels and factor
    "bilinear": lambda _, factor: BilinearUpsampling(factor),
    "transposed": TransposedUpsampling,
    "naive_unpooling": lambda _, factor: NaiveUnpooling(factor),
    "learned_unpooling": lambda channels, factor: PatternUnpooling(channels, factor, learned=True),
    "fixed_unpooling": lambda channels, factor: PatternUnpooling(channels, factor, learned=False),
    "indices_unpooling": lambda _, factor: IndicesUnpooling(factor),
}


def build_upsampling(name: str, channels: int, *, factor: int = 2) -> Upsampling:
    """One of the family (see this module's docstring).

    Args:
        name: One of `UPSAMPLINGS`.
        channels: Of the map; it keeps them.
        factor: How many times as high and wide the map becomes, 2 to 15.
    Raises:
        ModelError: no such method, or a factor that is not from 2 to 15.
    """
    if check_text("upsampling", name) not in UPSAMPLINGS:
        raise ModelError(f"upsampling = {name!r}: give one of {', '.join(UPSAMPLINGS)}.")
    return UPSAMPLINGS[name](channels, _checked_factor(factor))


def _checked_factor(factor: int) -> int:
    if not 2 <= factor <= 15:
        raise ModelError(f"factor = {factor}: give a whole number from 2 to 15.")  # 15 * 15 cells fit a byte
    return factor
