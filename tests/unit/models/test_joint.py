"""Joint networks: the sizes of their maps, what dilation keeps, and what becomes of their ancestors' weights."""

from __future__ import annotations

import pytest
import torch
import torchvision

from weakseg.errors import ModelError, UnsupportedNetworkError
from weakseg.models.class_map import find_class_map, has_class_map
from weakseg.models.classifier import build_network
from weakseg.models.grid import Grid
from weakseg.models.joint import BACKBONES, JointNetwork, adapt_ancestor, joint_name
from weakseg.models.own import OWN_NETWORKS


def sketch(backbone: str, *, dense: bool) -> JointNetwork:
    """Without memory for its weights: enough for shapes."""
    with torch.device("meta"):
        return JointNetwork(backbone, 5, dense=dense).eval()


@pytest.mark.parametrize(
    ("backbone", "dense", "cells"),
    [
        ("alexnet", True, (7, 11)),
        ("alexnet", False, (3, 5)),
        ("squeezenet1_1", True, (7, 12)),
        ("squeezenet1_1", False, (7, 12)),
        ("mobilenet_v2", True, (8, 13)),
        ("mobilenet_v2", False, (4, 7)),
    ],
)
def test_cells_of_an_odd_size(backbone: str, dense: bool, cells: tuple[int, int]) -> None:
    model = sketch(backbone, dense=dense)
    images = torch.empty(2, 3, 127, 203, device="meta")
    assert model.class_map(images).shape == (2, 5, *cells)
    assert model(images).shape == (2, 5)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_smallest_input(backbone: str) -> None:
    assert sketch(backbone, dense=True)(torch.empty(1, 3, 31, 45, device="meta")).shape == (1, 5)


def test_dilation_keeps_every_cell_of_mobilenet_and_adds_those_between() -> None:
    torch.manual_seed(0)
    coarse, dense = (JointNetwork("mobilenet_v2", 3, dense=flag).eval() for flag in (False, True))
    dense.load_state_dict(coarse.state_dict())
    images = torch.randn(2, 3, 96, 130)
    with torch.no_grad():
        expected, found = coarse.class_map(images), dense.class_map(images)
        ancestor = torchvision.models.mobilenet_v2(weights=None).eval()
        state = {name: value for name, value in coarse.state_dict().items() if name.startswith("features.")}
        ancestor.load_state_dict(state, strict=False)
        features = ancestor.features(images)  # (2, 1280, 3, 5)
        assert torch.equal(coarse.class_convolution(features), expected), "coarse: torchvision's own features"
    assert (expected.shape[2:], found.shape[2:]) == ((3, 5), (6, 9))
    spread = float(expected.std())
    assert (found[:, :, ::2, ::2] - expected).abs().max() < 1e-4 * spread
    assert (found[:, :, 1::2, 1::2] - expected[:, :, :3, :4]).abs().max() > 1e-2 * spread, "the others are new"


def test_ancestors_bring_their_head_where_it_sees_the_same_features() -> None:
    weight = torch.arange(6.0).reshape(2, 3)
    state = {"features.0.weight": weight, "classifier.1.weight": weight, "classifier.1.bias": weight[0]}
    adapted = adapt_ancestor("mobilenet_v2", state)
    assert adapted["class_convolution.weight"].tolist() == weight[:, :, None, None].tolist()
    assert set(adapted) == {"features.0.weight", "class_convolution.weight", "class_convolution.bias"}
    assert set(adapt_ancestor("alexnet", state)) == {"features.0.weight"}, "classifier.1 sees all positions"
    assert adapt_ancestor("mobilenet_v2", adapted).keys() == adapted.keys(), "a joint network's own stays as it is"


def test_a_fine_tuned_mobilenet_is_a_joint_network_by_average() -> None:
    torch.manual_seed(0)
    ancestor = torchvision.models.mobilenet_v2(weights=None, num_classes=4).eval()
    model = JointNetwork("mobilenet_v2", 4, dense=False).eval()
    model.load_state_dict(adapt_ancestor("mobilenet_v2", ancestor.state_dict()))
    images = torch.randn(1, 3, 70, 99)
    with torch.no_grad():
        torch.testing.assert_close(model(images), ancestor(images))


def test_each_aggregation_has_a_name_on_each_backbone() -> None:
    names = {name for name in OWN_NETWORKS if name.startswith("joint_")}
    assert {"joint_alexnet", "joint_squeezenet1_1_lse", "joint_mobilenet_v2_max"} < names
    assert len(names) == 9
    assert joint_name("alexnet", "log_sum_exp") == "joint_alexnet_lse"
    aggregation = build_network("joint_alexnet_max", 3).get_submodule("aggregate")
    assert type(aggregation).__name__ == "Maximum"


def test_unknown_parts_are_answered_with_the_known_ones() -> None:
    with pytest.raises(UnsupportedNetworkError, match="backbone = 'resnet18': give one of alexnet, squeezenet1_1, mob"):
        JointNetwork("resnet18", 3)
    with pytest.raises(ModelError, match="aggregation = 'mean': give one of average"):
        JointNetwork("alexnet", 3, "mean")


@pytest.mark.parametrize(
    ("network", "grid"),
    [
        ("joint_squeezenet1_1_lse", Grid((16, 16), (15, 15))),
        ("joint_mobilenet_v2", Grid((16, 16), (0, 0))),
    ],
)
def test_the_class_map_is_taken_apart_and_the_network_left_as_it_was(network: str, grid: Grid) -> None:
    torch.manual_seed(0)
    model = build_network(network, 3).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = find_class_map(model, network)
    assert (found.class_count, found.grid) == (3, grid)
    assert model.training
    assert all(value.requires_grad for value in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    images = torch.randn(2, 3, 65, 90)
    with torch.no_grad():
        torch.testing.assert_close(found.class_map(images), model.eval().class_map(images), rtol=1e-4, atol=1e-5)


def test_a_network_without_class_maps_names_those_that_have_them() -> None:
    model = build_network("demo", 3)
    assert not has_class_map(model)
    with pytest.raises(UnsupportedNetworkError, match=r"demo has no class map .* vgg16_fcn, joint_alexnet, joint_alex"):
        find_class_map(model, "demo")


def test_a_forward_pass_that_does_more_is_refused() -> None:
    class Doubled(JointNetwork):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(images) + 1

    with pytest.raises(UnsupportedNetworkError, match=r"tiny: the aggregation .* differ by .* aggregate\(class_map"):
        find_class_map(Doubled("squeezenet1_1", 2), "tiny")
