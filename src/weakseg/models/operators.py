"""What one node of a traced network calls: a module, a function or a method, under one name each."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

Shape = tuple[int, ...]

_MODULES: dict[type[nn.Module], str] = {
    nn.AdaptiveAvgPool2d: "adaptive_avg_pool2d",
    nn.AdaptiveMaxPool2d: "adaptive_max_pool2d",
    nn.AvgPool2d: "avg_pool2d",
    nn.BatchNorm2d: "batch_norm",
    nn.Conv2d: "conv2d",
    nn.Dropout: "dropout",
    nn.Dropout2d: "dropout",
    nn.Flatten: "flatten",
    nn.GELU: "gelu",
    nn.Hardsigmoid: "hardsigmoid",
    nn.Hardswish: "hardswish",
    nn.Identity: "identity",
    nn.LayerNorm: "layer_norm",
    nn.LeakyReLU: "leaky_relu",
    nn.Linear: "linear",
    nn.MaxPool2d: "max_pool2d",
    nn.ReLU: "relu",
    nn.ReLU6: "relu6",
    nn.SiLU: "silu",
    nn.Sigmoid: "sigmoid",
    nn.Tanh: "tanh",
}
_IN_PLACE = {operator.iadd: operator.add, operator.isub: operator.sub, operator.imul: operator.mul}


@dataclass(frozen=True)
class Call:
    """One operator of a traced network.

    ``shapes`` are those of all tensors on an example image; dimensions that depend on the image's size differ from 1.
    """

    node: fx.Node
    network: nn.Module
    shapes: Mapping[fx.Node, Shape]

    @property
    def module(self) -> nn.Module | None:
        return find_module(self.node, self.network)

    @property
    def operator(self) -> str:
        return _name(self.node, self.module)

    @property
    def sources(self) -> tuple[fx.Node, ...]:
        return sources_of(self.node)

    @property
    def shape(self) -> Shape:
        return self.shapes[self.node]

    def setting(self, name: str, position: int = -1, default: Any = None) -> Any:
        """A module's attribute, or a function's argument, by its name or its place among the arguments."""
        if self.module is not None:
            return getattr(self.module, name, default)
        if name in self.node.kwargs:
            return self.node.kwargs[name]
        return self.node.args[position] if 0 <= position < len(self.node.args) else default

    def __str__(self) -> str:
        if self.module is not None:
            return f"{self.operator!r} at {self.node.target!r}"
        owners = [path for path, _ in self.node.meta.get("nn_module_stack", {}).values() if path]
        return f"{self.operator!r} at {owners[-1]!r}" if owners else f"{self.operator!r}"


def operator_of(node: fx.Node, network: nn.Module) -> str:
    """``relu`` for nn.ReLU(), functional.relu() and Tensor.relu() alike."""
    return _name(node, find_module(node, network))


def _name(node: fx.Node, module: nn.Module | None) -> str:
    if module is not None:
        return _MODULES.get(type(module), type(module).__name__)
    return getattr(node.target, "__name__", str(node.target))


def sources_of(node: fx.Node) -> tuple[fx.Node, ...]:
    """The nodes among the arguments, in order; one that is given twice is there twice."""
    found: list[fx.Node] = []
    fx.map_arg((node.args, node.kwargs), found.append)
    return tuple(found)


def find_module(node: fx.Node, network: nn.Module) -> nn.Module | None:
    return network.get_submodule(str(node.target)) if node.op == "call_module" else None


def undo_in_place(network: fx.GraphModule) -> None:
    """Let every operator write to a new tensor: what is overwritten cannot be looked at on the way back."""
    for module in network.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # type: ignore[assignment]
    for node in network.graph.nodes:
        if node.op == "call_function":
            _undo_in_place_function(node)
        elif node.op == "call_method" and node.target.endswith("_") and not node.target.endswith("__"):
            node.target = node.target.removesuffix("_")
    network.recompile()


def _undo_in_place_function(node: fx.Node) -> None:
    target: Any = node.target
    plain = getattr(torch, getattr(target, "__name__", "").removesuffix("_"), target)  # torch.relu_ -> torch.relu
    node.target = _IN_PLACE.get(target, plain if getattr(target, "__name__", "").endswith("_") else target)
    if node.kwargs.get("inplace"):
        node.kwargs = {**node.kwargs, "inplace": False}
    if getattr(target, "__name__", "") in {"relu", "relu6", "silu", "hardswish", "hardsigmoid"}:
        node.args = node.args[:1]  # the second one is ``inplace``


def pair(value: Any) -> tuple[int, int]:
    """3 or (3, 3) to (3, 3)."""
    return (value[0], value[1]) if isinstance(value, (tuple, list)) else (value, value)
