"""How a decoder makes a map larger: one family for all of them.

The slides (Naplava, Kluj, Svec: Image Segmentation using Neural Networks, "Upsampling methods") name five methods and
show a figure; SegNet (Badrinarayanan et al., 2015) and DeconvNet (Noh et al., ICCV 2015) add stored pooling indices.
The slides define none of the three "demaxpools". Here, with blocks of k x k cells in place of one value:

==================== ===================================================================================
``bilinear``         interpolation, half-pixel centres
``transposed``       a transposed convolution of stride k, learned, initialised to bilinear interpolation (FCN,
                     section 3.3), with kernels of 2k (odd k: 2k - 1), from every channel to every channel
``naive_unpooling``  naive demaxpool: the value in every cell of the block
``fixed_unpooling``  fixed demaxpool: the value in the block's upper left cell, zeros elsewhere
``learned_unpooling`` learnable demaxpool: the value times a learned k x k pattern of its channel, which begins as
                     ones: a depthwise transposed convolution of stride k
``indices_unpooling`` the value where the encoder's maximum was, zeros elsewhere; needs what `PoolWithIndices` stored
==================== ===================================================================================

Every module is called as ``module(x, indices=..., size_like=...)``, whether it needs them or not, and takes maps at
any size; nothing here becomes an operator that ONNX lacks (``max_unpool2d``) or that freezes a size.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from weakseg.errors import ModelError, ShapeMismatchError


class PoolWithIndices(nn.Module):
    """Max pooling that remembers where each maximum was.

    Differs from ``F.max_pool2d(return_indices=True)`` in what it stores: the cell within the window, 0 to k * k - 1 row
    by row, as uint8, instead of a position in the map; so it is small, and the same at any map size. Of equal values
    the first counts, row by row, as there.

    Input (B, C, h, w), h and w multiples of k; output (B, C, h / k, w / k) and the cells, the same shape, uint8.
    """

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = _checked_factor(factor)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Raises: ShapeMismatchError: h or w is not a multiple of k."""
        if not torch.jit.is_tracing() and (x.shape[2] % self.factor or x.shape[3] % self.factor):
            raise ShapeMismatchError(f"Maps of {tuple(x.shape[2:])} are no multiple of {self.factor}: pad them.")
        pooled = F.max_pool2d(x, self.factor)  # (B, C, h / k, w / k)
        return pooled, first_maxima(x.detach(), pooled.detach(), self.factor)


def first_maxima(x: Tensor, pooled: Tensor, factor: int) -> Tensor:
    """The first cell of each window that holds its maximum: (B, C, h / k, w / k) uint8."""
    cells = torch.full_like(pooled, factor * factor - 1, dtype=torch.uint8)
    blocks = as_blocks(x, factor)  # (B, C, h / k, k, w / k, k)
    for cell in reversed(range(factor * factor - 1)):
        tap = blocks.select(5, cell % factor).select(3, cell // factor)  # (B, C, h / k, w / k)
        cells = cells.masked_fill(tap == pooled, cell)
    return cells


def as_blocks(x: Tensor, factor: int) -> Tensor:
    """(B, C, h, w) to (B, C, h / k, k, w / k, k); a view."""
    batch, channels, height, width = x.shape
    return x.reshape(batch, channels, height // factor, factor, width // factor, factor)  # (B, C, h / k, k, w / k, k)


def from_blocks(blocks: Tensor) -> Tensor:
    """(B, C, h, k, w, k) to (B, C, k * h, k * w); a view where the memory allows it."""
    return blocks.flatten(4, 5).flatten(2, 3)  # (B, C, k * h, k * w)


class Upsampling(nn.Module):
    """(B, C, h, w) to (B, C, k * h, k * w). Base of the family; a method is one `enlarge`."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor, *, indices: Tensor | None = None, size_like: Tensor) -> Tensor:
        """Enlarge.

        Args:
            x: (B, C, h, w).
            indices: What `PoolWithIndices` stored, (B, C, h, w) uint8; read by ``indices_unpooling`` only.
            size_like: Any tensor whose height and width are k * h and k * w, as the encoder's before pooling.
        Raises:
            ShapeMismatchError: size_like is not k times as large, or indices are missing or of another shape.
        """
        if not torch.jit.is_tracing():
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


class Interpolation(Upsampling):
    """``bilinear``, and ``nearest``: the value in every cell."""

    def __init__(self, factor: int, mode: str) -> None:
        super().__init__(factor)
        self.mode = mode

    def enlarge(self, x: Tensor, indices: Tensor | None) -> Tensor:  # noqa: ARG002
        return F.interpolate(x, scale_factor=float(self.factor), mode=self.mode)


class TransposedUpsampling(Upsampling):
    """A transposed convolution that begins as bilinear interpolation (but for the border, which fades to zero)."""

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__(factor)
        side = 2 * factor - factor % 2
        self.convolution = nn.ConvTranspose2d(channels, channels, side, factor, (side - factor) // 2, bias=False)
        with torch.no_grad():
            self.convolution.weight.zero_()
            self.convolution.weight[range(channels), range(channels)] = bilinear_kernel(factor)

    def enlarge(self, x: Tensor, indices: Tensor | None) -> Tensor:  # noqa: ARG002
        enlarged: Tensor = self.convolution(x)
        return enlarged


def bilinear_kernel(factor: int) -> Tensor:
    """The kernel of bilinear interpolation by k: (2k, 2k), or (2k - 1, 2k - 1) where k is odd."""
    side = 2 * factor - factor % 2
    distances = (torch.arange(side) - (side - 1) / 2).abs()  # (side,)
    line = 1 - distances / factor
    return line[:, None] * line[None, :]  # (side, side)


class PatternUnpooling(Upsampling):
    """The value times a k x k pattern: learned, one per channel, from ones on; or fixed, upper left."""

    pattern: Tensor  # (C, 1, k, 1, k), or (1, 1, k, 1, k)

    def __init__(self, channels: int, factor: int, *, learned: bool) -> None:
        super().__init__(factor)
        if learned:
            self.pattern = nn.Parameter(torch.ones(channels, 1, factor, 1, factor))
        else:
            upper_left = torch.zeros(1, 1, factor, 1, factor)
            upper_left[..., 0, :, 0] = 1
            self.register_buffer("pattern", upper_left, persistent=False)

    def enlarge(self, x: Tensor, indices: Tensor | None) -> Tensor:  # noqa: ARG002
        return from_blocks(x[:, :, :, None, :, None] * self.pattern.to(x.dtype))  # (B, C, k * h, k * w)


class IndicesUnpooling(Upsampling):
    """The value goes where the maximum was. As ``F.max_unpool2d`` with the indices of ``F.max_pool2d``."""

    places: Tensor  # (k, 1, k): the number of each cell of a window

    def __init__(self, factor: int) -> None:
        super().__init__(factor)
        places = torch.arange(factor * factor, dtype=torch.uint8).reshape(factor, 1, factor)  # (k, 1, k)
        self.register_buffer("places", places, persistent=False)

    def enlarge(self, x: Tensor, indices: Tensor | None) -> Tensor:
        if indices is None or (not torch.jit.is_tracing() and indices.shape != x.shape):
            found = "none" if indices is None else f"those of {tuple(indices.shape)}"
            raise ShapeMismatchError(
                f"indices_unpooling of {tuple(x.shape)} needs that pooling's indices, not {found}."
            )
        here = indices[:, :, :, None, :, None] == self.places  # (B, C, h, k, w, k)
        return from_blocks(torch.where(here, x[:, :, :, None, :, None], x.new_zeros(())))  # (B, C, k * h, k * w)


UPSAMPLINGS: dict[str, Callable[[int, int], Upsampling]] = {  # from channels and factor
    "bilinear": lambda _, factor: Interpolation(factor, "bilinear"),
    "transposed": TransposedUpsampling,
    "naive_unpooling": lambda _, factor: Interpolation(factor, "nearest"),
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
    if name not in UPSAMPLINGS:
        raise ModelError(f"upsampling = {name!r}: give one of {', '.join(UPSAMPLINGS)}.")
    return UPSAMPLINGS[name](channels, _checked_factor(factor))


def _checked_factor(factor: int) -> int:
    if not 2 <= factor <= 15:
        raise ModelError(f"factor = {factor}: give a whole number from 2 to 15.")  # 15 * 15 cells fit a byte
    return factor
