"""Back through convolutions and linear layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from weakseg.models.rules import Rule, Visit


class Convolution(Rule):
    """Stride 1: a convolution with the kernels turned around. They are turned once, here, and not in the graph."""

    kernels: Tensor  # (C_in, C_out / groups, k_y, k_x)

    def __init__(self, module: nn.Conv2d, padding: tuple[int, int]) -> None:
        super().__init__()
        self.register_buffer("kernels", turn_kernels(module.weight, module.groups))
        reach = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
        self.padding = (reach[0] - padding[0], reach[1] - padding[1])
        self.dilation, self.groups = module.dilation, module.groups

    def pull_back(self, cotangent: Tensor, _visit: Visit, /) -> Tensor:
        return nn.functional.conv2d(
            cotangent, self.kernels, padding=self.padding, dilation=self.dilation, groups=self.groups
        )


class StridedConvolution(Rule):
    """Other strides: a transposed convolution.

    In ONNX Runtime it is faster than the sub-pixel form (a convolution to stride^2 times the channels, then a pixel
    shuffle), whose shuffle alone takes longer than the whole. Rows and columns that no window reached get 0.
    """

    kernels: Tensor  # (C_out, C_in / groups, k_y, k_x): the forward pass's own

    def __init__(self, module: nn.Conv2d, padding: tuple[int, int]) -> None:
        super().__init__()
        self.register_buffer("kernels", module.weight.detach())
        self.padding = padding
        self.stride, self.dilation, self.groups = module.stride, module.dilation, module.groups
        self.rest = (module.stride[0] - 1, module.stride[1] - 1)  # at most so many rows and columns are not reached

    def pull_back(self, cotangent: Tensor, visit: Visit, /) -> Tensor:
        pulled = nn.functional.conv_transpose2d(
            cotangent, self.kernels, None, self.stride, self.padding, self.rest, self.groups, self.dilation
        )
        return pulled[:, :, : visit.input.shape[2], : visit.input.shape[3]]  # (K * B, C_in, h, w)


class Linear(Rule):
    """On the last axis."""

    weight: Tensor  # (C_out, C_in): the forward pass's own

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight.detach())

    def pull_back(self, cotangent: Tensor, _visit: Visit, /) -> Tensor:
        return cotangent @ self.weight


def make_convolution(module: nn.Conv2d) -> Rule | None:
    """The rule for a convolution, or None: it does not pad with zeros, or not alike on both sides."""
    padding = _padding(module)
    if padding is None or module.padding_mode != "zeros":
        return None
    reach = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
    if module.stride == (1, 1) and padding[0] <= reach[0] and padding[1] <= reach[1]:
        return Convolution(module, padding)
    return StridedConvolution(module, padding)


def _padding(module: nn.Conv2d) -> tuple[int, int] | None:
    if module.padding == "valid":
        return (0, 0)
    if module.padding == "same":
        reach = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
        return None if reach[0] % 2 or reach[1] % 2 else (reach[0] // 2, reach[1] // 2)
    return (int(module.padding[0]), int(module.padding[1]))


def turn_kernels(weight: Tensor, groups: int) -> Tensor:
    """(C_out, C_in / groups, k_y, k_x) to (C_in, C_out / groups, k_y, k_x), rows and columns in reverse order."""
    grouped = (
        weight.detach().reshape(groups, -1, *weight.shape[1:]).transpose(1, 2)
    )  # (groups, C_in / g, C_out / g, ..)
    return torch.flip(grouped.flatten(0, 1), (2, 3)).contiguous()  # (C_in, C_out / groups, k_y, k_x)
