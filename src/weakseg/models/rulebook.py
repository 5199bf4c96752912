"""Which rule takes a cotangent back through which operator."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

from weakseg.models.convolution import Linear, make_convolution
from weakseg.models.operators import Call, pair
from weakseg.models.pooling import AdaptiveAveragePool, AveragePool, GlobalMax, MaxPool, Mean, windows
from weakseg.models.rules import (
    DERIVATIVES,
    RECTIFIERS,
    Elementwise,
    Identity,
    LayerNorm,
    Product,
    Rectifier,
    Rule,
    Scale,
    Sum,
    Times,
    leaky_derivative,
)
from weakseg.models.shaping import Cat, Part, Permute, Reshape
from weakseg.models.tracing import find_attribute

IDENTITIES = {"dropout", "dropout2d", "identity", "contiguous", "stochastic_depth", "chunk", "split"}
RESHAPES = {"flatten", "view", "reshape", "squeeze", "unsqueeze"}


def make_rule(call: Call) -> Rule | None:
    """The rule for one operator, or None: there is none, or not for these settings."""
    if call.operator in IDENTITIES:
        return Identity()
    if call.operator in RESHAPES:
        return Reshape() if _keeps_batch(call) else None
    if call.operator in RECTIFIERS:
        return Rectifier(RECTIFIERS[call.operator])
    if call.operator in DERIVATIVES:
        return Elementwise(DERIVATIVES[call.operator]) if call.setting("approximate") in (None, "none") else None
    make = _MAKERS.get(call.operator)
    return make(call) if make else None


def _keeps_batch(call: Call) -> bool:
    return call.shape[0] == call.shapes[call.sources[0]][0]


def _leaky_relu(call: Call) -> Rule:
    return Elementwise(leaky_derivative(float(call.setting("negative_slope", 1, 0.01))))


def _convolution(call: Call) -> Rule | None:
    return make_convolution(call.module) if isinstance(call.module, nn.Conv2d) else None


def _linear(call: Call) -> Rule | None:
    return Linear(call.module.weight) if isinstance(call.module, nn.Linear) else None


def _batch_norm(call: Call) -> Rule | None:
    norm = call.module
    if not isinstance(norm, nn.BatchNorm2d) or norm.running_var is None:
        return None
    scale = torch.rsqrt(norm.running_var + norm.eps)  # (C,)
    weight: Tensor | None = norm.weight
    return Scale((scale if weight is None else scale * weight.detach())[:, None, None])  # (C, 1, 1)


def _layer_norm(call: Call) -> Rule | None:
    weight = call.setting("weight", 2)
    if isinstance(weight, fx.Node):
        weight = find_attribute(call.network, str(weight.target)) if weight.op == "get_attr" else None
        if weight is None:
            return None
    axes = len(call.setting("normalized_shape", 1))
    return LayerNorm(None if weight is None else weight.detach(), axes, float(call.setting("eps", 4, 1e-5)))


def _sum(call: Call) -> Rule | None:
    return Sum(call) if "alpha" not in call.node.kwargs and _ranks_agree(call) else None


def _difference(call: Call) -> Rule | None:
    if "alpha" in call.node.kwargs or not _ranks_agree(call):
        return None
    first_is_number = not isinstance(call.node.args[0], fx.Node)
    return Sum(call, signs=(-1.0, -1.0) if first_is_number else (1.0, -1.0))


def _product(call: Call) -> Rule | None:
    numbers = [argument for argument in call.node.args if not isinstance(argument, fx.Node)]
    if numbers:
        return Times(float(numbers[0]))  # type: ignore[arg-type]
    return Product(call) if _ranks_agree(call) else None


def _quotient(call: Call) -> Rule | None:
    divisor = call.setting("other", 1)
    return None if isinstance(divisor, fx.Node) else Times(1 / float(divisor))


def _ranks_agree(call: Call) -> bool:
    """All are tensors (a size is none); those that depend on the image have the result's rank, parameters may not."""
    return all(
        source in call.shapes and (len(call.shapes[source]) == len(call.shape) or source.op == "get_attr")
        for source in call.sources
    )


def _max_pool(call: Call) -> Rule | None:
    plain = pair(call.setting("dilation", 4, 1)) == (1, 1) and not call.setting("return_indices", 6, False)
    return MaxPool(*windows(call)) if plain else None


def _average_pool(call: Call) -> Rule | None:
    rows, columns = windows(call)
    counts_padding = bool(call.setting("count_include_pad", 5, True)) or not (rows.padding or columns.padding)
    plain = counts_padding and not rows.ceil_mode and not call.setting("divisor_override", 6)
    return AveragePool(rows, columns) if plain else None


def _adaptive_average(call: Call) -> Rule | None:
    parts = _parts(call)
    if parts == (1, 1):
        return Mean(keepdim=True)
    return AdaptiveAveragePool(parts) if parts else None


def _adaptive_maximum(call: Call) -> Rule | None:
    return GlobalMax(keepdim=True, first=True) if _parts(call) == (1, 1) else None


def _parts(call: Call) -> tuple[int, int] | None:
    parts = pair(call.setting("output_size", 1))
    return parts if all(isinstance(part, int) for part in parts) else None


def _mean(call: Call) -> Rule | None:
    return Mean(keepdim=_keeps(call)) if _is_spatial(call) else None


def _maximum(call: Call) -> Rule | None:
    return GlobalMax(keepdim=_keeps(call), first=False) if _is_spatial(call) else None


def _is_spatial(call: Call) -> bool:
    axes: Any = call.setting("dim", 1)
    rank = len(call.shapes[call.sources[0]])
    return rank == 4 and isinstance(axes, (tuple, list)) and {axis % 4 for axis in axes} == {2, 3}


def _keeps(call: Call) -> bool:
    return bool(call.setting("keepdim", 2, False))


def _permute(call: Call) -> Rule | None:
    given: Any = call.setting("dims", 1)
    axes: Any = given if isinstance(given, (tuple, list)) else call.node.args[1:]
    return _reorder(tuple(axis % len(axes) for axis in axes))


def _transpose(call: Call) -> Rule | None:
    rank = len(call.shape)
    first, second = (int(call.setting(name, place)) % rank for name, place in (("dim0", 1), ("dim1", 2)))
    axes = list(range(rank))
    axes[first], axes[second] = second, first
    return _reorder(tuple(axes))


def _reorder(axes: tuple[int, ...]) -> Rule | None:
    return Permute(axes) if axes[0] == 0 else None


def _cat(call: Call) -> Rule | None:
    axis = int(call.setting("dim", 1, 0)) % len(call.shape)
    return Cat(call, axis) if axis else None


def _item(call: Call) -> Rule | None:
    """One part of a chunk of channels, or one channel."""
    whole, key = call.node.args
    if isinstance(whole, fx.Node) and _name(whole) in {"chunk", "split"} and isinstance(key, int):
        return _part(call, whole, key)
    if isinstance(key, tuple) and len(key) == 2 and key[0] == slice(None) and isinstance(key[1], int):
        channels = call.shapes[call.sources[0]][1]
        first = key[1] % channels
        return Part(first, channels - 1 - first, drops_axis=True)
    return None


def _part(call: Call, whole: fx.Node, index: int) -> Rule | None:
    channels = call.shapes[whole.all_input_nodes[0]][1]
    count = whole.args[1] if len(whole.args) > 1 else None
    axis = whole.kwargs.get("dim", whole.args[2] if len(whole.args) > 2 else 0)
    if axis != 1 or len(call.shape) != 4 or not isinstance(count, int) or index < 0:
        return None
    size = math.ceil(channels / count) if _name(whole) == "chunk" else count
    return Part(index * size, channels - index * size - call.shape[1])


def _name(node: fx.Node) -> str:
    return getattr(node.target, "__name__", str(node.target))


_MAKERS: dict[str, Callable[[Call], Rule | None]] = {
    "adaptive_avg_pool2d": _adaptive_average,
    "adaptive_max_pool2d": _adaptive_maximum,
    "add": _sum,
    "amax": _maximum,
    "avg_pool2d": _average_pool,
    "batch_norm": _batch_norm,
    "cat": _cat,
    "conv2d": _convolution,
    "getitem": _item,
    "layer_norm": _layer_norm,
    "leaky_relu": _leaky_relu,
    "linear": _linear,
    "max_pool2d": _max_pool,
    "mean": _mean,
    "mul": _product,
    "permute": _permute,
    "sub": _difference,
    "transpose": _transpose,
    "truediv": _quotient,
}
SUPPORTED = sorted({*IDENTITIES, *RESHAPES, *RECTIFIERS, *DERIVATIVES, *_MAKERS})
