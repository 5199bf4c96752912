"""Learned upsampling as it starts: bilinear interpolation, for both places of a cell."""

import pytest
import torch
from torch.nn import functional as F

from weakseg.models.pixel.bilinear import LearnedUpsampling, bilinear_kernel


def test_kernels_worked_out_by_hand() -> None:
    assert bilinear_kernel(2, centred=True)[0].mul(16).tolist() == [1, 3, 3, 1]
    assert bilinear_kernel(2, centred=False).mul(4).tolist() == [[1, 2, 1], [2, 4, 2], [1, 2, 1]]


@pytest.mark.parametrize("factor", [2, 8, 32])
def test_centred_cells_are_interpolated_as_pytorch_does_it_up_to_the_border(factor: int) -> None:
    cells = torch.randn(2, 3, 4, 5)
    with torch.no_grad():
        found = LearnedUpsampling(3, factor)(cells)
    expected = F.interpolate(cells, scale_factor=factor, mode="bilinear", align_corners=False)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("factor", [2, 8, 32])
def test_cells_on_their_first_pixel_are_interpolated_between_their_pixels(factor: int) -> None:
    cells = torch.randn(2, 3, 4, 5)
    with torch.no_grad():
        found = LearnedUpsampling(3, factor, centred=False)(cells)
    assert found.shape == (2, 3, 4 * factor, 5 * factor)
    between = (3 * factor + 1, 4 * factor + 1)  # from the first to the last cell
    expected = F.interpolate(cells, size=between, mode="bilinear", align_corners=True)
    torch.testing.assert_close(found[:, :, : between[0], : between[1]], expected)
    beyond = found[:, :, between[0] :, between[1] :]  # (2, 3, factor - 1, factor - 1)
    torch.testing.assert_close(beyond, cells[:, :, -1:, -1:].expand_as(beyond))


def test_kernels_are_trained_or_frozen() -> None:
    assert LearnedUpsampling(3, 2).deconvolution.weight.requires_grad
    assert not LearnedUpsampling(3, 2, learned=False).deconvolution.weight.requires_grad
