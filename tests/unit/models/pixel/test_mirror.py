"""SegNet and DeconvNet beside a plain reading of their papers with PyTorch's own pooling and unpooling."""

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from tests.helpers.pixel_networks import build_lively
from weakseg.errors import ModelError
from weakseg.models.pixel.registry import PIXEL_NETWORKS, build_pixel_network
from weakseg.models.pixel.upsampling import UPSAMPLINGS

VGG16_CONVOLUTIONS, VGG16_NORMS = 14_714_688, 2 * 4224  # weights and biases; a scale and a shift per channel
HIDDEN = 512 * 49 * 4096 + 4096 + 4096**2 + 4096  # fc6 and fc7


def encode(features: nn.Sequential, values: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Through VGG16's layers with PyTorch's pooling; its indices are positions in the map."""
    stored = []
    for layer in features:
        if isinstance(layer, nn.Conv2d | nn.BatchNorm2d | nn.ReLU):
            values = layer(values)
        else:
            values, indices = F.max_pool2d(values, 2, return_indices=True)
            stored.append(indices)
    return values, stored


def decode(network: nn.Module, values: Tensor, stored: list[Tensor]) -> Tensor:
    for stage, indices in zip(network.decoder.stages, reversed(stored), strict=True):
        values = stage.layers(F.max_unpool2d(values, indices, 2))
    return network.score(values)


def middle(network: nn.Module, values: Tensor) -> Tensor:
    """DeconvNet's fully connected layers and their mirror; SegNet has none."""
    if not hasattr(network, "fc6"):
        return values
    for convolution, norm in ((network.fc6, network.norm6), (network.fc7, network.norm7)):
        values = F.relu(norm(convolution(values)))
    return network.deconv6(values)


@pytest.mark.parametrize("name", ["segnet_vgg16", "deconvnet_vgg16"])
def test_maxima_go_back_to_where_pytorch_found_them(name: str) -> None:
    network = build_lively(name)
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        values, stored = encode(network.encoder.features, images)
        expected = decode(network, middle(network, values), stored)
        found = network(images)
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected)


def test_parameters_of_segnet() -> None:
    """Its decoder is its encoder in reverse, but for the layer that would write three colours: 29.45 million."""
    scores = 9 * 64 * 21 + 21
    decoder = VGG16_CONVOLUTIONS - 9 * 3 * 64 - _biases() + _decoder_biases() - 64 + scores
    decoder_norms = 2 * (_decoder_biases() - 64)
    expected = VGG16_CONVOLUTIONS + VGG16_NORMS + decoder + decoder_norms
    assert _count("segnet_vgg16") == expected
    assert round(expected / 1e6, 2) == 29.46


def test_parameters_of_deconvnet() -> None:
    """All thirteen mirrored layers write 64 channels or more, and a 1 x 1 layer scores: 252 million."""
    first = 9 * 64 * 64  # where VGG16 reads three colours
    decoder = VGG16_CONVOLUTIONS - 9 * 3 * 64 + first - _biases() + _decoder_biases() + 2 * _decoder_biases()
    hidden = HIDDEN + 2 * 2 * 4096 + 4096 * 49 * 512 + 512 + 2 * 512
    expected = VGG16_CONVOLUTIONS + VGG16_NORMS + hidden + decoder + 64 * 21 + 21
    assert _count("deconvnet_vgg16") == expected
    assert round(expected / 1e6) == 252


def _biases() -> int:
    return 64 * 2 + 128 * 2 + 256 * 3 + 512 * 6  # 4224


def _decoder_biases() -> int:
    return (512 * 3) + (512 * 2 + 256) + (256 * 2 + 128) + (128 + 64) + (64 * 2)


def _count(name: str) -> int:
    with torch.device("meta"):
        return sum(value.numel() for value in build_pixel_network(name, 21).parameters())


@pytest.mark.parametrize("name", ["segnet_vgg16", "deconvnet_vgg16"])
@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
def test_any_upsampling_can_take_the_place_of_indices(name: str, upsampling: str) -> None:
    network = build_pixel_network(name, 3, {"width": 0.01, "upsampling": upsampling})
    logits = network(torch.randn(2, 3, 40, 70))
    assert logits.shape == (2, 3, 40, 70)
    logits.square().mean().backward()
    assert all(value.grad is not None and value.grad.isfinite().all() for value in network.parameters())


@pytest.mark.parametrize("name", ["segnet_vgg16", "deconvnet_vgg16"])
def test_vgg16_s_weights_fit_all_but_the_added_layers(name: str) -> None:
    network = PIXEL_NETWORKS[name]
    with torch.device("meta"):
        given = network.adapt(torchvision.models.get_model(network.ancestor, weights=None).state_dict())
        own = build_pixel_network(name, 21).state_dict()
    assert all(given[key].shape == own[key].shape for key in given)
    assert {key.split(".")[0] for key in {*own} - {*given}} == {*network.added}


def test_an_upsampling_that_there_is_not() -> None:
    with pytest.raises(ModelError, match="upsampling = 'nearest': give one of bilinear"):
        build_pixel_network("segnet_vgg16", 3, {"width": 0.01, "upsampling": "nearest"})
