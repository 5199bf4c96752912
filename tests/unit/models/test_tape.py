"""What a tape knows about its network, and gradients from and to inner layers."""

import copy

import pytest
import torch
import torchvision
from torch import Tensor, nn

from tests.helpers.gradients import difference, noise, random_network, random_seeds
from weakseg.errors import UnsupportedNetworkError, UnsupportedOperatorError
from weakseg.models.grid import Grid
from weakseg.models.tape import INPUT, OUTPUT, Tape, record_tape


@pytest.fixture(scope="module")
def squeezenet() -> Tape:
    return record_tape(random_network("squeezenet1_1", torch.float64), "squeezenet1_1")


def test_layers_of_squeezenet(squeezenet: Tape) -> None:
    values = squeezenet.run(noise(1, (64, 96), torch.float64))
    assert squeezenet.class_count == 7
    assert squeezenet.class_map == "classifier_2"  # the ReLU behind the last convolution
    assert len(squeezenet.convolutions) == 26
    assert squeezenet.convolutions[0] == "features_1"
    assert set(squeezenet.convolutions) <= set(squeezenet.layers)
    assert all(values[layer].dim() == 4 for layer in squeezenet.layers)
    assert squeezenet.grid("features_1") == Grid((2, 2), (1, 1))
    assert squeezenet.grid(squeezenet.class_map) == Grid((16, 16), (15, 15))
    torch.testing.assert_close(values[squeezenet.class_map].mean((2, 3)), values.output)


def test_layers_of_convnext_are_those_with_channels_first() -> None:
    tape = record_tape(random_network("convnext_tiny"), "convnext_tiny")
    values = tape.run(noise(1, (64, 96)))
    assert {values[layer].shape[1] for layer in tape.layers} == {96, 192, 384, 768}
    assert tape.class_map is None


def test_squeeze_and_excite_branches_are_no_layers() -> None:
    tape = record_tape(random_network("mobilenet_v3_small"), "mobilenet_v3_small")
    values = tape.run(noise(1, (64, 96)))
    assert all(values[layer].shape[2:] != (1, 1) for layer in tape.layers)
    assert tape.grid(tape.layers[-1]).stride_yx == (32, 32)


@pytest.mark.parametrize("network", ["vgg16_fcn", "demo"])
def test_class_maps(network: str) -> None:
    tape = record_tape(random_network(network), network)
    assert tape.class_map == ("head" if network == "vgg16_fcn" else None)


def test_gradients_at_and_from_inner_layers(squeezenet: Tape) -> None:
    model = random_network("squeezenet1_1", torch.float64)
    images, seeds = noise(2, (64, 96), torch.float64), random_seeds(2, 3, torch.float64)
    inner: list[Tensor] = []
    model.features[5].register_forward_hook(lambda module, inputs, output: inner.append(output))  # a pooling
    logits = model(images.requires_grad_(True))  # (B, C)
    values = squeezenet.run(images.detach())
    found = squeezenet.pull_back(values, {OUTPUT: seeds}, ["features_5", INPUT])
    for index in range(3):
        expected = torch.autograd.grad((logits * seeds[:, index]).sum(), [inner[0], images], retain_graph=True)
        assert difference(found["features_5"][:, index], expected[0]) < 1e-12
        assert difference(found[INPUT][:, index], expected[1]) < 1e-12
    ones = torch.ones(2, 1, *inner[0].shape[1:], dtype=torch.float64)  # (B, K, c, h', w')
    from_inner = squeezenet.pull_back(values, {"features_5": ones}, [INPUT])[INPUT]
    (expected_from_inner,) = torch.autograd.grad(inner[0].sum(), images, retain_graph=True)
    assert difference(from_inner[:, 0], expected_from_inner) < 1e-12


def test_several_seeded_layers_add_up(squeezenet: Tape) -> None:
    values = squeezenet.run(noise(2, (64, 96), torch.float64))
    seeds = {OUTPUT: random_seeds(2, 3, torch.float64)}
    inner = {"features_5": torch.randn(2, 3, *values["features_5"].shape[1:], dtype=torch.float64)}
    apart = [squeezenet.pull_back(values, each, [INPUT])[INPUT] for each in (seeds, inner)]
    together = squeezenet.pull_back(values, seeds | inner, [INPUT])[INPUT]
    torch.testing.assert_close(together, apart[0] + apart[1])


def test_a_wanted_layer_that_is_seeded_gets_its_seed(squeezenet: Tape) -> None:
    values = squeezenet.run(noise(1, (64, 96), torch.float64), until="features_5")
    seed = torch.randn(1, 2, *values["features_5"].shape[1:], dtype=torch.float64)
    assert torch.equal(squeezenet.pull_back(values, {"features_5": seed}, ["features_5"])["features_5"], seed)


def test_zeros_behind_a_relu_do_no_harm() -> None:
    """Windows full of zeros send their cotangent somewhere; the ReLU before them stops it."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(4, 5, 1))
    model.append(nn.AdaptiveAvgPool2d(1)).append(nn.Flatten())
    with torch.no_grad():
        model[0].bias.fill_(-1.5)  # most outputs are zero
    tape = record_tape(model, "sparse")
    images = noise(2, (31, 42)).requires_grad_(True)
    values = tape.run(images.detach())
    assert (values["_2"] == 0).float().mean() > 0.3
    seeds = torch.randn(2, 1, 5)
    (expected,) = torch.autograd.grad((model(images) * seeds[:, 0]).sum(), images)
    assert difference(tape.pull_back(values, {OUTPUT: seeds}, [INPUT])[INPUT][:, 0], expected) < 1e-5


def test_the_model_and_the_images_are_left_as_they_were() -> None:
    model = random_network("resnet18").train()
    before = copy.deepcopy(model.state_dict())
    tape = record_tape(model, "resnet18")
    images = noise(1, (64, 96))
    kept = images.clone()
    tape.pull_back(tape.run(images), {OUTPUT: random_seeds(1, 2)}, [INPUT])
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(module.inplace for module in model.modules() if isinstance(module, nn.ReLU))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(images, kept)


def test_what_no_layer_depends_on_is_an_error(squeezenet: Tape) -> None:
    values = squeezenet.run(noise(1, (64, 96), torch.float64))
    seed = torch.zeros(1, 1, *values["features_5"].shape[1:], dtype=torch.float64)
    with pytest.raises(ValueError, match=r"\['features_5'\] do not depend on \['classifier_2'\]"):
        squeezenet.pull_back(values, {"features_5": seed}, ["classifier_2"])
    with pytest.raises(ValueError, match="no layer 'conv9'; there are features_0, features_1"):
        squeezenet.pull_back(values, {OUTPUT: torch.zeros(1, 1, 7)}, ["conv9"])


class Inner(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(3, 4, 3), layer)

    def forward(self, images: Tensor) -> Tensor:
        return self.block(images).mean((2, 3))


class Softplus(nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        return nn.functional.softplus(values)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.Softplus(), "mine: gradients cannot pass 'Softplus' at 'block.1'"),
        (Softplus(), "mine: gradients cannot pass 'softplus' at 'block.1'"),
        (nn.MaxPool2d(2, dilation=2), "'max_pool2d' at 'block.1'"),
        (nn.AvgPool2d(3, 2, 1, count_include_pad=False), "'avg_pool2d' at 'block.1'"),
        (nn.GELU(approximate="tanh"), "'gelu' at 'block.1'"),
        (nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), "'conv2d' at 'block.1'"),
        (nn.AdaptiveMaxPool2d(2), "'adaptive_max_pool2d' at 'block.1'"),
    ],
    ids=str,
)
def test_operators_without_a_rule_are_named(layer: nn.Module, message: str) -> None:
    with pytest.raises(UnsupportedOperatorError, match=message):
        record_tape(Inner(layer), "mine")


class TimesHeight(nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        return values * values.shape[2]


class PlusWidth(nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        return values + values.size(3)


@pytest.mark.parametrize(("layer", "name"), [(TimesHeight(), "mul"), (PlusWidth(), "add")])
def test_arithmetic_with_a_size_is_refused_by_name(layer: nn.Module, name: str) -> None:
    with pytest.raises(UnsupportedOperatorError, match=f"gradients cannot pass '{name}' at 'block.1'"):
        record_tape(Inner(layer), "mine")


def test_transformers_are_refused() -> None:
    with pytest.raises(UnsupportedOperatorError, match=r"'shifted_window_attention' at 'features.1.0.attn'"):
        record_tape(torchvision.models.swin_t(weights=None, num_classes=3), "swin_t")


def test_networks_of_one_image_size_are_refused() -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 3, stride=16), nn.Flatten(), nn.Linear(96, 5))
    with pytest.raises(UnsupportedNetworkError, match="mine fails at '_2' on images of 128x160"):
        record_tape(model, "mine")


def test_a_network_that_torch_fx_does_not_see_as_it_is_is_refused() -> None:
    class AlwaysDropping(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return nn.functional.dropout(images, 0.5, training=True).mean((2, 3))  # passes for a dropout that is off

    with pytest.raises(UnsupportedNetworkError, match="gives logits that differ by"):
        record_tape(AlwaysDropping(), "mine")
