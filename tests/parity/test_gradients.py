"""The tape's gradients are those of autograd and of captum, for every kind of network, on noise and on a photo.

Most is compared in double precision. In single precision rounding decides on which side of zero a ReLU's input lies
when it is next to nothing, and a gradient jumps there: two programs that are both right may differ by percents.
"""

import pytest
import torch
from captum.attr import GuidedBackprop, Saliency
from torch import Tensor, nn

from tests.helpers.gradients import CLASSES, autograd_gradients, difference, noise, photos, random_network, random_seeds
from weakseg.models.tape import INPUT, OUTPUT, record_tape

TOLERANCE = 1e-5  # relative to the largest gradient
DOUBLE_TOLERANCE = 1e-8  # autograd's own hardsigmoid and hardswish hold 1/6 in single precision
NETWORKS = (
    "alexnet", "vgg16", "vgg16_fcn", "squeezenet1_1", "resnet18", "resnet50", "mobilenet_v2", "densenet121",
    "efficientnet_b0", "mobilenet_v3_small", "regnet_y_400mf", "googlenet", "shufflenet_v2_x0_5", "mnasnet0_5",
    "inception_v3", "convnext_tiny", "demo",
)  # fmt: skip
SAME_FORWARD = ("alexnet", "vgg16_fcn", "squeezenet1_1")  # no batch normalisation: bit for bit the network's
SMOOTH = ("efficientnet_b0", "convnext_tiny")  # no ReLU, no max pooling: nothing jumps
WITH_RELU_MODULES = ("alexnet", "vgg16_fcn", "squeezenet1_1", "resnet18")  # what captum's hooks can see


@pytest.mark.parametrize("network", NETWORKS)
def test_input_gradients_are_those_of_autograd(network: str) -> None:
    model = random_network(network, torch.float64)
    tape = record_tape(model, network)
    for images in (noise(2, (79, 97), torch.float64), photos(1, (96, 80), torch.float64)):
        seeds = random_seeds(len(images), 3, torch.float64)
        found = tape.pull_back(tape.run(images), {OUTPUT: seeds}, [INPUT])[INPUT]
        assert difference(found, autograd_gradients(model, images, seeds)) < DOUBLE_TOLERANCE


@pytest.mark.parametrize("network", SAME_FORWARD + SMOOTH)
def test_single_precision(network: str) -> None:
    model = random_network(network)
    tape = record_tape(model, network)
    seeds = random_seeds(2, 3)
    for images in (noise(2, (64, 96)), photos(2, (97, 65))):
        found = tape.pull_back(tape.run(images), {OUTPUT: seeds}, [INPUT])[INPUT]
        assert difference(found, autograd_gradients(model, images, seeds)) < TOLERANCE


@pytest.mark.parametrize("network", WITH_RELU_MODULES)
@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU:UserWarning")
def test_saliency_and_guided_backprop_are_those_of_captum(network: str) -> None:
    model = without_in_place(random_network(network, torch.float64))
    tape = record_tape(model, network)
    classes = torch.tensor([[0, 3, 5], [6, 0, 2]])  # (B, K)
    seeds = nn.functional.one_hot(classes, CLASSES).double()  # (B, K, C)
    for images in (noise(2, (65, 97), torch.float64), photos(2, (96, 64), torch.float64)):
        values = tape.run(images)
        plain = tape.pull_back(values, {OUTPUT: seeds}, [INPUT])[INPUT]  # (B, K, 3, h, w)
        assert difference(plain.abs(), captum_gradients(Saliency(model), images, classes)) < DOUBLE_TOLERANCE
        guided = tape.pull_back(values, {OUTPUT: seeds}, [INPUT], guided=True)[INPUT]
        assert difference(guided, captum_gradients(GuidedBackprop(model), images, classes)) < DOUBLE_TOLERANCE
        assert difference(guided, plain) > 0.01


def captum_gradients(method: Saliency | GuidedBackprop, images: Tensor, classes: Tensor) -> Tensor:
    """(B, K, 3, h, w)."""
    images = images.clone().requires_grad_(True)
    return torch.stack([method.attribute(images, target=column) for column in classes.T], 1).detach()


def without_in_place(model: nn.Module) -> nn.Module:
    """captum's hooks need it."""
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return model
