"""Which operators of a traced network hold feature maps, which end a convolution's block, which is the class map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx

from weakseg.models.operators import operator_of
from weakseg.models.tracing import output_of

AFTER_CONVOLUTION = {
    "batch_norm", "layer_norm", "dropout", "identity",
    "relu", "relu6", "leaky_relu", "silu", "gelu", "hardswish", "sigmoid", "tanh",
}  # fmt: skip
AFTER_POOLING = {"flatten", "view", "reshape", "squeeze", "dropout", "identity"}
GLOBAL_POOLING = {"adaptive_avg_pool2d", "adaptive_max_pool2d", "mean", "amax"}

AllValues = Mapping[fx.Node, Any]


@dataclass(frozen=True)
class Layout:
    """Where in a network to find what. Nodes are in the network's order."""

    input: fx.Node
    class_count: int
    maps: tuple[fx.Node, ...]  # values are (B, c, h', w')
    convolutions: tuple[fx.Node, ...]  # among maps: behind a convolution, its normalisation and its activation
    class_map: fx.Node | None  # among maps: c is the class count, and only global pooling follows


def find_layout(network: fx.GraphModule, small: AllValues, large: AllValues) -> Layout:
    """Compare the values of two images that differ in both sides, and may differ in number."""
    maps = tuple(node for node in small if _is_map(small[node], large[node]) and node.op != "placeholder")
    operators = {node: operator_of(node, network) for node in network.graph.nodes}
    class_count = int(small[output_of(network)].shape[1])
    blocks = [_end_of_block(node, operators) for node in maps if operators[node] == "conv2d"]
    class_map = _find_class_map(output_of(network), operators)
    return Layout(
        input=next(iter(network.graph.nodes)),
        class_count=class_count,
        maps=maps,
        convolutions=tuple(dict.fromkeys(end for end in blocks if end in maps)),
        class_map=class_map if class_map in maps and small[class_map].shape[1] == class_count else None,
    )


def _is_map(small: Any, large: Any) -> bool:
    """Four axes, of which the last two, and not the second, depend on the image's size."""
    if not isinstance(small, Tensor) or small.dim() != 4:
        return False
    same = [one == other for one, other in zip(small.shape, large.shape, strict=True)]
    return same[1:] == [True, False, False]


def _end_of_block(node: fx.Node, operators: Mapping[fx.Node, str]) -> fx.Node:
    users = list(node.users)
    if len(users) == 1 and operators[users[0]] in AFTER_CONVOLUTION:
        return _end_of_block(users[0], operators)
    return node


def _find_class_map(node: fx.Node, operators: Mapping[fx.Node, str]) -> fx.Node | None:
    """What is pooled to the output, if nothing but pooling leads there."""
    if operators[node] in GLOBAL_POOLING:
        return node.all_input_nodes[0]
    if operators[node] in AFTER_POOLING:
        return _find_class_map(node.all_input_nodes[0], operators)
    return None
