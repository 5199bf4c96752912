"""Networks of our own: their shapes, and what becomes of their ancestors' weights."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import fx
from torch.nn import functional as F

from weakseg.errors import UnsupportedNetworkError
from weakseg.models.classifier import build_network
from weakseg.models.own import OWN_NETWORKS
from weakseg.models.split import split_network
from weakseg.models.vgg16_fcn import adapt_vgg16


def sketch(network: str, classes: int = 5) -> torch.nn.Module:
    """The network without memory for its weights: enough for shapes."""
    with torch.device("meta"):
        return build_network(network, classes).eval()


@pytest.mark.parametrize("network", OWN_NETWORKS)
@pytest.mark.parametrize("hw", [(224, 224), (96, 163), (230, 128)])
def test_any_input_size_and_torch_fx(network: str, hw: tuple[int, int]) -> None:
    model = sketch(network)
    images = torch.empty(2, 3, *hw, device="meta")
    assert model(images).shape == (2, 5)
    assert fx.symbolic_trace(model)(images).shape == (2, 5)


def test_unknown_names_are_answered_with_ours() -> None:
    with pytest.raises(UnsupportedNetworkError, match="of our own: 'demo', 'alexnet_plus', 'vgg16_fcn'"):
        build_network("vgg16fcn", 5)


@pytest.mark.parametrize("network", OWN_NETWORKS)
def test_the_ancestor_s_weights_fit_all_but_head_and_added_layers(network: str) -> None:
    own = OWN_NETWORKS[network]
    with torch.device("meta"):
        given = own.adapt(torchvision.models.get_model(own.ancestor, weights=None).state_dict())
    wanted = sketch(network).state_dict()
    fitting = {name for name in wanted if name in given and given[name].shape == wanted[name].shape}
    unfilled = {name.rpartition(".")[0] for name in {*wanted} - fitting}
    heads = {"alexnet_plus": "classifier.prediction", "vgg16_fcn": "head", "squeezenet1_1_linear": "classifier.1"}
    head = heads.get(network, "class_convolution")  # of joint networks
    assert unfilled == {head, *own.added}
    assert {name.rpartition(".")[0] for name in {*given} - fitting} <= {head}


def test_alexnet_plus_has_one_more_layer_than_alexnet() -> None:
    def linear_layers(network: str) -> list[tuple[int, int]]:
        layers = [layer for layer in sketch(network).modules() if isinstance(layer, torch.nn.Linear)]
        return [(layer.in_features, layer.out_features) for layer in layers]

    assert linear_layers("alexnet") == [(9216, 4096), (4096, 4096), (4096, 5)]
    assert linear_layers("alexnet_plus") == [(9216, 4096), (4096, 4096), (4096, 4096), (4096, 5)]


def test_vgg16_s_linear_layer_as_a_convolution_gives_the_same_numbers() -> None:
    torch.manual_seed(0)
    features, weight, bias = torch.randn(2, 512, 7, 7), torch.randn(4, 512 * 49) / 100, torch.randn(4)
    adapted = adapt_vgg16({"classifier.0.weight": weight, "classifier.0.bias": bias})
    expected = F.linear(features.flatten(1), weight, bias)  # (2, 4): as torchvision's VGG16 has it
    found = F.conv2d(features, adapted["fc6.weight"], adapted["fc6.bias"], padding=3)  # (2, 4, 7, 7)
    torch.testing.assert_close(found[:, :, 3, 3], expected, rtol=1e-4, atol=1e-4)


def test_the_class_map_of_vgg16_fcn_has_a_cell_for_every_32_pixels() -> None:
    model = sketch("vgg16_fcn")
    assert model.class_map(torch.empty(2, 3, 96, 160, device="meta")).shape == (2, 5, 3, 5)


def test_squeezenet_without_its_last_relu_is_linear_in_its_features() -> None:
    torch.manual_seed(0)
    model = build_network("squeezenet1_1_linear", 5).eval()
    with torch.no_grad():
        model.classifier[1].bias.fill_(-1)  # all logits negative: a rectified score would be 0
        split = split_network(model, "squeezenet1_1_linear")
        images = torch.randn(2, 3, 96, 128)
        logits = model(images)
    assert not split.rectified
    assert logits.max() < 0
