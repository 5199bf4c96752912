import numpy as np
import torch
from torch import Tensor, nn

from training.zoomout.levels import describe, find_levels
from weakseg.models.tape import record_tape


class Steps(nn.Module):
    """Three resolutions; two layers at the second; the last are class maps."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.first = nn.Conv2d(4, 5, 3, stride=2, padding=1)
        self.second = nn.Conv2d(5, 6, 3, padding=1)
        self.third = nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.head = nn.Conv2d(8, 7, 1)

    def forward(self, images: Tensor) -> Tensor:
        deep = torch.relu(self.third(torch.relu(self.second(torch.relu(self.first(torch.relu(self.stem(images))))))))
        return torch.relu(self.head(deep)).mean((2, 3))


def test_the_deepest_layer_of_each_resolution() -> None:
    tape = record_tape(Steps().eval(), "steps")
    values = tape.run(torch.zeros(1, 3, 64, 64))
    levels = find_levels(tape, 64)
    assert [tuple(values[level].shape[1:]) for level in levels] == [(4, 32, 32), (6, 16, 16), (8, 8, 8)]


def test_features_by_hand() -> None:
    # Two superpixels, left and right. One level of 1 x 2 cells and two channels, one of a single cell.
    superpixels = np.array([[0, 0, 1, 1]], np.int32)
    fine = torch.tensor([[[3.0, 0.0]], [[4.0, 1.0]]])  # (2, 1, 2): (3, 4) has length 5, (0, 1) has 1; their mean is 3
    coarse = torch.tensor([[[2.0]]])  # (1, 1, 1)
    logits = torch.tensor([0.0, -4.0])
    found = describe([fine, coarse], logits, superpixels)
    np.testing.assert_allclose(found, [[1, 4 / 3, 1, 0, -1], [0, 1 / 3, 1, 0, -1]], rtol=1e-6)


def test_a_level_of_zeros_stays_one() -> None:
    found = describe([torch.zeros(3, 2, 2)], torch.zeros(2), np.array([[0, 1]], np.int32))
    assert found.shape == (2, 5)
    assert not found.any()
