"""AlexNet with one more fully connected layer: the final classifier of the saliency paper."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import torchvision
from torch import Tensor, nn

ANCESTOR = "alexnet"  # torchvision's network whose weights it can start from
ADDED = ("classifier.added",)  # what the ancestor has not, beside the prediction layer
_WIDTH = 4096


def build_alexnet_plus(num_classes: int) -> nn.Module:
    """AlexNet, ReLU and dropout, one more fully connected layer of 4096, and the prediction layer.

    Saliency paper, section 3, phase 1: "we added another fully connected layer before the prediction layer". It does
    not say how wide; here as wide as its neighbours. Layers that it shares with AlexNet keep torchvision's names.

    Input (B, 3, h, w) float32, any h and w from 63 on; output (B, num_classes) logits.
    """
    network: nn.Module = torchvision.models.alexnet(weights=None, num_classes=num_classes)
    added = nn.Linear(_WIDTH, _WIDTH)
    nn.init.kaiming_normal_(added.weight, nonlinearity="relu")  # torchvision's would shrink the signal once more
    shared = OrderedDict(
        list(network.get_submodule("classifier").named_children())[:-1]
    )  # up to the ReLU after the second layer
    network.classifier = nn.Sequential(
        shared
        | OrderedDict(
            dropout=nn.Dropout(),
            added=added,
            relu=nn.ReLU(inplace=True),
            prediction=nn.Linear(_WIDTH, num_classes),
        )
    )
    return network


def adapt_alexnet(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """AlexNet's state dict without its prediction layer; one of `build_alexnet_plus` as it is."""
    return {name: value for name, value in state.items() if not name.startswith("classifier.6.")}
