"""Padding to a multiple and cropping back, by hand."""

import pytest
import torch

from weakseg.models.pixel.padding import crop_to, pad_to_multiple


def test_the_last_row_and_column_are_repeated() -> None:
    images = torch.tensor([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]])  # (1, 1, 2, 3)
    expected = [[1, 2, 3, 3], [4, 5, 6, 6], [4, 5, 6, 6], [4, 5, 6, 6]]
    assert pad_to_multiple(images, 4)[0, 0].tolist() == expected


@pytest.mark.parametrize(("hw", "padded"), [((32, 64), (32, 64)), ((33, 31), (64, 32)), ((1, 95), (32, 96))])
def test_sizes_become_the_next_multiples(hw: tuple[int, int], padded: tuple[int, int]) -> None:
    assert pad_to_multiple(torch.zeros(2, 3, *hw), 32).shape == (2, 3, *padded)


def test_cropping_undoes_it_whatever_the_number_of_channels() -> None:
    images = torch.randn(2, 3, 19, 45)
    padded = pad_to_multiple(images, 32)
    assert torch.equal(crop_to(padded, images), images)
    assert crop_to(padded[:, :1], images).shape == (2, 1, 19, 45)
