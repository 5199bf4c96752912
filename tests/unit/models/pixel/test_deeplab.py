"""DeepLab-LargeFOV: its grid, its parameters, its thinned-out weights."""

import torch
import torchvision
from torch import fx, nn

from weakseg.models.grid import Grid, find_grid_of
from weakseg.models.pixel.deeplab import adapt_to_deeplab
from weakseg.models.pixel.registry import PIXEL_NETWORKS, build_pixel_network

NAME = "deeplab_largefov_vgg16"


def sketch() -> nn.Module:
    with torch.device("meta"):
        return build_pixel_network(NAME, 21)


def test_features_have_a_cell_in_the_middle_of_every_8_by_8_pixels() -> None:
    traced = fx.symbolic_trace(sketch().features)
    assert find_grid_of(next(iter(reversed(traced.graph.nodes))).args[0], traced) == Grid((8.0, 8.0), (3.5, 3.5))
    assert traced(torch.empty(2, 3, 64, 96, device="meta")).shape == (2, 512, 8, 12)


def test_holes_take_the_place_of_the_last_two_poolings() -> None:
    network = sketch()
    layers = [layer for layer in network.features if isinstance(layer, nn.Conv2d)]
    assert [layer.dilation for layer in layers] == [(1, 1)] * 10 + [(2, 2)] * 3
    poolings = [layer for layer in network.features if isinstance(layer, nn.MaxPool2d)]
    assert [layer.stride for layer in poolings] == [2, 2, 2, 1, 1]
    assert (network.fc6.kernel_size, network.fc6.dilation) == ((3, 3), (12, 12))


def test_parameters_are_the_paper_s_20_5_million() -> None:
    fc6, fc7, score = 9 * 512 * 1024 + 1024, 1024**2 + 1024, 1024 * 21 + 21
    expected = 14_714_688 + fc6 + fc7 + score
    assert sum(value.numel() for value in sketch().parameters()) == expected
    assert round(expected / 1e6, 1) == 20.5


def test_vgg16_s_weights_fit_all_but_the_score_layer() -> None:
    network, own = PIXEL_NETWORKS[NAME], sketch().state_dict()
    with torch.device("meta"):
        given = network.adapt(torchvision.models.vgg16(weights=None).state_dict())
    assert all(given[key].shape == own[key].shape for key in given)
    assert {key.split(".")[0] for key in {*own} - {*given}} == {"score"} == {*network.added}


def test_every_fourth_channel_and_every_third_row_and_column_are_kept() -> None:
    weight = torch.arange(8 * 2 * 49.0).reshape(8, 2 * 49)
    given = {"classifier.0.weight": weight, "classifier.0.bias": torch.arange(8.0)}
    adapted = adapt_to_deeplab(given)
    assert adapted["fc6.bias"].tolist() == [0, 4]
    assert adapted["fc6.weight"].shape == (2, 2, 3, 3)
    assert adapted["fc6.weight"][1, 1].tolist() == [  # channel 4, input 1: from 4 * 98 + 49 on, rows of 7
        [441 + 7 * row + column for column in (0, 3, 6)] for row in (0, 3, 6)
    ]
    between = adapt_to_deeplab(
        {"classifier.3.weight": torch.arange(64.0).reshape(8, 8), "classifier.3.bias": torch.arange(8.0)}
    )
    assert between["fc7.weight"][:, :, 0, 0].tolist() == [[0, 4], [32, 36]]


def test_own_weights_come_back_as_they_are() -> None:
    own = sketch().state_dict()
    assert adapt_to_deeplab(own) == own
