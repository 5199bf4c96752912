"""Networks of our own, by name, and which of torchvision's weights they can start from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torchvision
from torch import Tensor, nn

from weakseg.models import alexnet_plus, joint, vgg16_fcn


@dataclass(frozen=True)
class OwnNetwork:
    """A network that torchvision has not."""

    build: Callable[[int], nn.Module]  # number of classes to a network with random weights
    ancestor: str  # torchvision's network whose weights it can start from
    adapt: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] = dict  # the ancestor's state dict to its own names
    added: tuple[str, ...] = ()  # layers that the ancestor has not
    has_class_map: bool = False  # see `weakseg.models.class_map`


def build_squeezenet_linear(num_classes: int) -> nn.Module:
    """SqueezeNet 1.1 without its last ReLU, for several labels at once.

    As it is, its score is the mean of a rectified map: never below 0, and so a sigmoid never below 0.5. Without that
    ReLU the score is linear in the features, and the class activation map is what it was before rectification.
    """
    network: nn.Module = torchvision.models.squeezenet1_1(weights=None, num_classes=num_classes)
    network.set_submodule("classifier.2", nn.Identity())
    return network


def _joint_networks() -> dict[str, OwnNetwork]:
    return {
        joint.joint_name(backbone, aggregation): OwnNetwork(
            partial(joint.JointNetwork, backbone, aggregation=aggregation),
            backbone,
            partial(joint.adapt_ancestor, backbone),
            has_class_map=True,
        )
        for backbone in joint.BACKBONES
        for aggregation in joint.SUFFIXES
    }


OWN_NETWORKS = {
    "alexnet_plus": OwnNetwork(
        alexnet_plus.build_alexnet_plus, alexnet_plus.ANCESTOR, alexnet_plus.adapt_alexnet, alexnet_plus.ADDED
    ),
    "vgg16_fcn": OwnNetwork(vgg16_fcn.build_vgg16_fcn, vgg16_fcn.ANCESTOR, vgg16_fcn.adapt_vgg16, has_class_map=True),
    "squeezenet1_1_linear": OwnNetwork(build_squeezenet_linear, "squeezenet1_1"),
    **_joint_networks(),
}
