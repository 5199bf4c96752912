"""Learned upsampling that starts as bilinear interpolation."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def bilinear_kernel(factor: int, *, centred: bool) -> Tensor:
    """The kernel with which a transposed convolution of this stride interpolates: (k, k) float32.

    Args:
        factor: Stride; even where ``centred``.
        centred: See `LearnedUpsampling`; k is 2 x factor then, and one less otherwise.
    """
    size = 2 * factor if centred else 2 * factor - 1
    distance = (torch.arange(size) - (size - 1) / 2).abs()
    slope = 1 - distance / factor  # (k)
    return slope[:, None] * slope[None, :]  # (k, k)


class LearnedUpsampling(nn.Module):
    """Transposed convolution, initialised to bilinear interpolation, one kernel for each channel.

    FCN paper, section 3.3 and 4.3. Differs in that a map is continued by its border cells before it is upsampled: the
    result then equals bilinear interpolation up to the border, where the paper crops a border away. The authors'
    networks have a kernel for each pair of channels, zero at first where the two differ; here those are left out.

    (B, O, h, w) float32 to (B, O, factor h, factor w).

    Args:
        channels: O.
        factor: Stride; even where ``centred``.
        centred: A cell lies in the middle of its ``factor`` x ``factor`` pixels, as behind poolings (the interpolation
            of ``align_corners=False``). Otherwise it lies on the first of them, as behind padded 3 x 3 convolutions
            with stride 2; the last ``factor - 1`` rows and columns repeat the last cell.
        learned: Otherwise the kernel stays what it is.
    """

    def __init__(self, channels: int, factor: int, *, centred: bool = True, learned: bool = True) -> None:
        super().__init__()
        kernel = bilinear_kernel(factor, centred=centred)
        self.before = 1 if centred else 0  # cells repeated above and on the left; below and on the right it is one
        crop_px = factor + factor // 2 if centred else factor - 1
        self.deconvolution = nn.ConvTranspose2d(
            channels, channels, len(kernel), factor, padding=crop_px, groups=channels, bias=False
        )
        with torch.no_grad():
            self.deconvolution.weight.copy_(kernel)  # (O, 1, k, k)
        self.deconvolution.weight.requires_grad_(learned)

    def forward(self, cells: Tensor) -> Tensor:
        continued = F.pad(cells, (self.before, 1, self.before, 1), mode="replicate")
        upsampled: Tensor = self.deconvolution(continued)
        return upsampled if self.before else upsampled[:, :, :-1, :-1]
