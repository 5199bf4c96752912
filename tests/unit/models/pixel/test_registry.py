"""Pixel networks by name: sizes, shifts, errors."""

import inspect
import re

import pytest
import torch
from torch import nn

from tests.helpers.pixel_networks import OPTIONS, build_lively, build_small
from weakseg.errors import ModelError, UnsupportedNetworkError
from weakseg.models.pixel.registry import PIXEL_NETWORKS, build_pixel_network

FIELD_PX = {  # a size that holds the answer to a small spot, at its place and shifted
    "fcn32s_vgg16": 576, "fcn16s_vgg16": 576, "fcn8s_vgg16": 576,
    "fcn32s_mobilenet_v2": 640, "fcn16s_mobilenet_v2": 640, "fcn8s_mobilenet_v2": 640,
    "segnet_vgg16": 640, "deconvnet_vgg16": 1088, "deeplab_largefov_vgg16": 512,
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("hw", [(16, 17), (33, 64), (61, 95)])
def test_logits_have_the_size_of_the_pictures(name: str, hw: tuple[int, int]) -> None:
    with torch.no_grad():
        assert build_small(name, 5)(torch.randn(2, 3, *hw)).shape == (2, 5, *hw)


@pytest.mark.parametrize("name", OPTIONS)
def test_what_moves_by_the_stride_is_answered_there(name: str) -> None:
    """A spot on nothing: no bias and no mean, so what is out of its reach is zero, as padding is."""
    network = build_lively(name, 2)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.zero_()
    side = FIELD_PX[name]
    before = torch.zeros(1, 3, side, side + 64)
    start = side // 2 - 32
    before[:, :, start : start + 20, start + 3 : start + 30] = torch.randn(1, 3, 20, 27)
    after = before.roll((32, 64), (2, 3))
    with torch.no_grad():
        found, expected = network(after), network(before).roll((32, 64), (2, 3))
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
    assert not torch.equal(expected, expected.roll((32, 64), (2, 3)))


@pytest.mark.parametrize("name", OPTIONS)
def test_own_state_dicts_come_back_as_they_are(name: str) -> None:
    own = build_small(name).state_dict()
    adapted = PIXEL_NETWORKS[name].adapt(own)
    assert adapted.keys() == own.keys()
    assert all(adapted[key] is own[key] for key in own)


@pytest.mark.parametrize("name", PIXEL_NETWORKS)
def test_every_option_is_described(name: str) -> None:
    network = PIXEL_NETWORKS[name]
    parameters = inspect.signature(network.build).parameters.values()
    taken = {parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}
    assert taken - {"stride"} == {*network.options}  # a stage's stride is its name's


def test_unknown_names_options_and_counts_are_named() -> None:
    with pytest.raises(UnsupportedNetworkError, match=r"no pixel network 'fcn4s_vgg16'\. Names: fcn32s_vgg16, "):
        build_pixel_network("fcn4s_vgg16", 2)
    with pytest.raises(ModelError, match=r"segnet_vgg16 has no option 'dropout' \(= 0.5\). Options: width, upsampling"):
        build_pixel_network("segnet_vgg16", 2, {"dropout": 0.5})
    with pytest.raises(ModelError, match="outputs = 1: give the background and at least one class"):
        build_pixel_network("segnet_vgg16", 1)


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("conv_deconv", "spec", 5),
        ("conv_deconv", "width", "wide"),
        ("conv_deconv", "width", True),
        ("conv_deconv", "upsampling", ["bilinear"]),
        ("segnet_vgg16", "upsampling", ["bilinear"]),
        ("fcn8s_vgg16", "width", "1"),
    ],
)
def test_values_of_another_type_are_named(name: str, option: str, value: object) -> None:
    with pytest.raises(ModelError, match=f"{option} = {re.escape(repr(value))}: give a"):
        build_pixel_network(name, 2, {option: value})
