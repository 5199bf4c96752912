"""Where the cells of a feature map lie: worked out by hand, and against the centre of mass of a cell's gradient."""

import pytest
import torch
import torchvision
from torch import Tensor, fx, nn

from weakseg.models.grid import Grid, find_grid
from weakseg.models.split import split_network


@pytest.mark.parametrize(
    ("network", "stride", "first"),
    [
        ("squeezenet1_1", 16, 15),  # 3x3/2: 1; three poolings 3x3/2 without padding: + 2 + 4 + 8
        ("resnet18", 32, 0),  # padding puts the first cell on the first pixel
        ("mobilenet_v2", 32, 0),
        ("efficientnet_b0", 32, 0),  # squeeze-and-excite branches must be passed by
        ("densenet121", 32, 14),  # average poolings 2x2/2: 4 / 2 + 8 / 2 + 16 / 2
    ],
)
def test_torchvision_networks_by_hand(network: str, stride: float, first: float) -> None:
    model = torchvision.models.get_model(network, weights=None, num_classes=3)
    assert split_network(model, network).grid == Grid((stride, stride), (first, first))


class Branches(nn.Module):
    """Convolutions with kernels, strides, paddings and a dilation of all kinds, joined as in a residual block."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 1, (5, 4), stride=(2, 1), padding=(1, 0), bias=False)
        self.long = nn.Sequential(
            nn.Conv2d(1, 1, 3, stride=2, padding=2, dilation=2, bias=False), nn.Conv2d(1, 1, 1, bias=False)
        )
        self.short = nn.Conv2d(1, 1, 1, stride=2, bias=False)
        self.last = nn.AvgPool2d((3, 2), stride=(3, 2), padding=(1, 0))
        for parameter in self.parameters():
            nn.init.ones_(parameter)

    def forward(self, images: Tensor) -> Tensor:
        stem = self.stem(images)
        return nn.functional.avg_pool2d(self.last(self.long(stem) + self.short(stem)), 2, stride=1)


def test_a_cell_lies_where_its_gradient_has_its_centre_of_mass() -> None:
    features = fx.symbolic_trace(Branches())
    grid = find_grid(features)
    images = torch.zeros(1, 1, 120, 90, requires_grad=True)
    cells = features(images)  # (1, 1, h', w')
    row, column = 4, 9
    cells[0, 0, row, column].backward()
    assert images.grad is not None
    mass = images.grad[0, 0] / images.grad.sum()  # (h, w)
    centre = (
        float((mass.sum(1) * torch.arange(120)).sum()),
        float((mass.sum(0) * torch.arange(90)).sum()),
    )
    expected = tuple(
        first + index * stride
        for first, stride, index in zip(grid.first_yx, grid.stride_yx, (row, column), strict=True)
    )
    assert centre == pytest.approx(expected, abs=1e-3)
