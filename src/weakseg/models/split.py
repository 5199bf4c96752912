"""Cut an image classifier in two: everything up to its last feature map, and one linear head.

Class activation maps need networks of the form ``features -> global average pooling -> one linear layer`` (the two
last steps in either order). No list of names is kept: the network is traced with torch.fx, walked backwards from its
output, and the two parts are compared with the whole on a random image before they are trusted.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from weakseg.errors import UnsupportedNetworkError
from weakseg.models.grid import Grid, find_grid

CHECK_HW = (96, 128)  # large enough for every torchvision classifier, and not square
CHECK_TOLERANCE = 1e-4  # relative to the largest logit
REMEDY = (
    "Class activation maps need features, global average pooling (AdaptiveAvgPool2d(1) or a mean over both axes) and "
    "one linear or 1x1 convolution layer, with nothing but dropout and flattening between them: replace the "
    "classifier part by these and fine-tune, or take a network that ends so (ResNet, SqueezeNet, MobileNetV2 ...)."
)
_POOLS_TO_ONE = {1, (1, 1), (None, 1), (1, None)}
_MEAN_AXES = {(2, 3), (-2, -1), (3, 2), (-1, -2)}


@dataclass(frozen=True)
class SplitNetwork:
    """A classifier as ``logits = head(features(images))``, the head spelled out as arrays.

    ``rectified`` is SqueezeNet's order: ``logits = mean(relu(weight f + bias))``. Otherwise the head is linear:
    ``logits = weight mean(f) + bias``, whichever of pooling and 1x1 convolution came first.
    """

    name: str
    features: nn.Module  # (B, 3, h, w) float32 -> (B, F, h', w') float32
    weight: Tensor  # (C, F)
    bias: Tensor  # (C,)
    rectified: bool
    head: str  # the head's name inside the network: its parameters are f"{head}.weight" and f"{head}.bias"
    grid: Grid  # where the cells of the feature map lie in the input

    @property
    def class_count(self) -> int:
        return int(self.weight.shape[0])

    def logits(self, features: Tensor) -> Tensor:
        """(B, F, h', w') feature maps to (B, C) logits."""
        return pool_logits(features, self.weight, self.bias, rectified=self.rectified)


def pool_logits(features: Tensor, weight: Tensor, bias: Tensor, *, rectified: bool) -> Tensor:
    """The head and the pooling: (B, F, h', w'), (C, F) and (C,) to (B, C); ``rectified`` as in `SplitNetwork`."""
    if rectified:
        return rectified_class_maps(features, weight, bias).mean((2, 3))  # (B, C)
    return features.mean((2, 3)) @ weight.T + bias  # (B, C)


def rectified_class_maps(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """relu(weight f + bias) at every position: (B, F, h', w') to (B, C, h', w')."""
    return nn.functional.conv2d(features, weight[:, :, None, None], bias).relu()


def split_network(model: nn.Module, name: str) -> SplitNetwork:
    """Cut a classifier before its global average pooling and linear layer.

    Args:
        model: Any classifier (B, 3, h, w) -> (B, C). It is copied, and left as it was, training mode included.
        name: For messages.
    Raises:
        UnsupportedNetworkError: the network does not end as needed (names the layer in the way), or the parts do not
            give the logits of the whole.
    """
    model = copy.deepcopy(model).eval().requires_grad_(False)
    graph = trace_steps(model, name)
    tail = _walk_back(graph, model, name)
    features = _cut(model, graph, tail.feature_map)
    state = model.state_dict()
    weight = state[f"{tail.head}.weight"].flatten(1).clone()  # (C, F)
    bias = state.get(f"{tail.head}.bias", torch.zeros(len(weight))).clone()  # (C,)
    split = SplitNetwork(name, features, weight, bias, tail.rectified, tail.head, find_grid(features))
    _verify(split, model)
    return split


class _Tracer(fx.Tracer):
    def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
        return isinstance(module, (nn.LayerNorm, nn.Flatten)) or super().is_leaf_module(module, qualified_name)


def trace_steps(model: nn.Module, name: str) -> fx.Graph:
    """What a network does, step by step.

    Raises:
        UnsupportedNetworkError: it decides by its input's values what it does.
    """
    try:
        return _Tracer().trace(model)
    except Exception as error:  # a network's own code runs here: anything may come
        raise UnsupportedNetworkError(f"{name} cannot be traced by torch.fx: {error} {REMEDY}") from error


@dataclass
class _Tail:
    head: str
    rectified: bool
    feature_map: fx.Node


def _walk_back(graph: fx.Graph, model: nn.Module, name: str) -> _Tail:
    """From the output back to the last feature map. Passes one head, one pooling, and what changes no number."""
    node = next(iter(reversed(graph.nodes))).args[0]
    head: str | None = None
    pooled = rectified = False
    while not (head and pooled):
        if not isinstance(node, fx.Node):
            raise UnsupportedNetworkError(f"{name} answers {type(node).__name__}, not one tensor of logits. {REMEDY}")
        operator = _Operator(node, model)
        if operator.passes_values_on:
            pass
        elif operator.is_global_average and not pooled:
            pooled = True
        elif operator.is_relu and pooled and not head and not rectified:
            rectified = True
        elif operator.is_head and not head and (pooled or not rectified):
            head = str(node.target)
        else:
            raise UnsupportedNetworkError(f"{name}: {operator} comes {_place(head, pooled)}. {REMEDY}")
        node = node.args[0]
    while _Operator(node, model).passes_values_on:
        node = node.args[0]
    return _Tail(head, rectified, node)


def _place(head: str | None, pooled: bool) -> str:
    if head:
        return f"right before the last linear layer {head!r}, where global average pooling should be"
    return "before global average pooling, where the last layer should be" if pooled else "after the last linear layer"


class _Operator:
    """What one node of the traced network does."""

    def __init__(self, node: fx.Node, model: nn.Module) -> None:
        self.node = node
        self.module = model.get_submodule(str(node.target)) if node.op == "call_module" else None
        self.function = getattr(node.target, "__name__", str(node.target)) if self.module is None else ""

    def __str__(self) -> str:
        if self.module is not None:
            return f"{self.node.target!r} ({type(self.module).__name__})"
        owners = list(self.node.meta.get("nn_module_stack", {}).values())
        owner = f" of {owners[-1][0]!r} ({owners[-1][1].__name__})" if owners and owners[-1][0] else ""
        return f"{self.function!r}{owner}"

    @property
    def passes_values_on(self) -> bool:
        harmless = (nn.Dropout, nn.Dropout2d, nn.Identity, nn.Flatten)
        return isinstance(self.module, harmless) or self.function in {
            "dropout",
            "flatten",
            "view",
            "reshape",
            "squeeze",
        }

    @property
    def is_relu(self) -> bool:
        return isinstance(self.module, nn.ReLU) or self.function in {"relu", "relu_"}

    @property
    def is_global_average(self) -> bool:
        if isinstance(self.module, nn.AdaptiveAvgPool2d):
            return _hashable(self.module.output_size) in _POOLS_TO_ONE
        if self.function == "adaptive_avg_pool2d":
            return _hashable(self._argument(1, "output_size")) in _POOLS_TO_ONE
        return self.function == "mean" and _hashable(self._argument(1, "dim")) in _MEAN_AXES

    @property
    def is_head(self) -> bool:
        if isinstance(self.module, nn.Conv2d):
            plain = self.module.kernel_size == (1, 1) and self.module.stride == (1, 1) and self.module.groups == 1
            return plain and self.module.padding == (0, 0)
        return isinstance(self.module, nn.Linear)

    def _argument(self, position: int, keyword: str) -> Any:
        return self.node.args[position] if len(self.node.args) > position else self.node.kwargs.get(keyword)


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, (list, tuple)) else value


def _cut(model: nn.Module, graph: fx.Graph, last: fx.Node) -> fx.GraphModule:
    """The part of a network that ``last`` depends on, as a network that answers it."""
    part = fx.Graph()
    copied: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        copied[node] = part.node_copy(node, lambda old: copied[old])
        if node is last:
            break
    part.output(copied[last])
    features = fx.GraphModule(model, part, class_name="Features")
    features.graph.eliminate_dead_code()
    features.recompile()
    features.delete_all_unused_submodules()
    return features.eval()


def _verify(split: SplitNetwork, model: nn.Module) -> None:
    images = torch.randn(1, 3, *CHECK_HW, generator=torch.Generator().manual_seed(0))  # (1, 3, h, w)
    with torch.no_grad():
        expected = model(images)  # (1, C)
        found = split.logits(split.features(images))  # (1, C)
    difference = float((expected - found).abs().max())
    if not difference <= CHECK_TOLERANCE * max(1.0, float(expected.abs().max())):
        raise UnsupportedNetworkError(
            f"{split.name}: its features and {split.head!r} give logits that differ by {difference:.2g} from the "
            f"network's own. {REMEDY}"
        )
