"""Costs beside published counts."""

import pytest
import torch
import torchvision
from torch import nn

from benchmarks.pixel_cost import Cost, cost, count_parameters, main


def test_a_layer_worked_out_by_hand() -> None:
    layer = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ConvTranspose2d(5, 2, 4, 4, bias=False)).train()
    assert count_parameters(layer) == (3 * 5 * 9 + 5) + 5 * 2 * 16
    products = 12 * 20 * (3 * 5 * 9 + 5 * 2 * 16)  # at every one of 12 x 20 cells
    assert cost(layer, (12, 20)) == Cost(count_parameters(layer), 2 * products / 1e9)
    assert layer.training


def test_vgg16_has_15_47_billion_multiply_adds() -> None:
    with torch.device("meta"):
        network = torchvision.models.vgg16(weights=None)
    found = cost(network, (224, 224))
    assert found.parameters == 138_357_544
    assert found.gflops == pytest.approx(2 * 15.470264320, abs=1e-6)


def test_the_table_has_a_row_for_every_network(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["pixel_cost", "--hw", "64", "96", "--outputs", "3"])
    main()
    printed = capsys.readouterr().out
    assert "| GFLOPs at 64 x 96 |" in printed
    assert "| segnet_vgg16 | 29.44 |" in printed
