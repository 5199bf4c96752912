"""A classifier as a graph of operators that a tape can walk: traced, normalisation folded in, nothing in place."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from torch import Tensor, fx, nn
from torch.fx.experimental.optimization import fuse

from weakseg.errors import UnsupportedNetworkError
from weakseg.models.operators import find_module, undo_in_place


def trace_network(model: nn.Module, name: str) -> fx.GraphModule:
    """Copy and trace a classifier; the model is left as it was.

    Batch normalisation behind a convolution becomes part of its kernels; elsewhere (DenseNet) it stays.

    Raises:
        UnsupportedNetworkError: torch.fx cannot trace it, or it answers more than one tensor.
    """
    model = copy.deepcopy(model).eval().requires_grad_(False)
    try:
        traced = fx.symbolic_trace(model)
    except Exception as error:  # a network's own code runs here: anything may come
        raise UnsupportedNetworkError(f"{name} cannot be traced by torch.fx: {error}") from error
    answer: Any = output_of(traced)
    if not isinstance(answer, fx.Node):
        raise UnsupportedNetworkError(f"{name} answers {type(answer).__name__}, not one tensor of logits.")
    traced.graph.eliminate_dead_code()
    undo_in_place(traced)
    network: fx.GraphModule = fuse(traced, inplace=True, no_trace=True)  # type: ignore[assignment]
    network.delete_all_unused_submodules()
    return network.eval().requires_grad_(False)


def output_of(network: fx.GraphModule) -> fx.Node:
    """What the network answers."""
    node: fx.Node = next(iter(reversed(network.graph.nodes))).args[0]
    return node


def evaluate(node: fx.Node, network: fx.GraphModule, values: Mapping[fx.Node, Any]) -> Any:
    """Run one operator on values that are known."""
    args, kwargs = fx.map_arg((node.args, node.kwargs), values.__getitem__)
    if node.op == "output":
        return args[0]
    module = find_module(node, network)
    if module is not None:
        return module(*args, **kwargs)
    if node.op == "get_attr":
        return find_attribute(network, str(node.target))
    if node.op == "call_method":
        return getattr(args[0], str(node.target))(*args[1:], **kwargs)
    return node.target(*args, **kwargs)  # type: ignore[operator]


def find_attribute(network: nn.Module, path: str) -> Tensor:
    """A parameter or a buffer by its path."""
    owner, _, name = path.rpartition(".")
    tensor: Tensor = getattr(network.get_submodule(owner), name)
    return tensor


def propagate(network: fx.GraphModule, images: Tensor, name: str) -> dict[fx.Node, Any]:
    """All values of a forward pass.

    Raises:
        UnsupportedNetworkError: it fails, as where a network takes images of one size only.
    """
    values: dict[fx.Node, Any] = {}
    for node in network.graph.nodes:
        try:
            values[node] = images if node.op == "placeholder" else evaluate(node, network, values)
        except Exception as error:  # a network's own code runs here: anything may come
            size = "x".join(map(str, images.shape[2:]))
            raise UnsupportedNetworkError(f"{name} fails at {node.name!r} on images of {size}: {error}") from error
    return values
