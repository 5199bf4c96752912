"""Where in the photo the cells of a feature map lie."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import fx, nn

Pair = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Grid:
    """Cell (i, j) of a feature map is centred at pixel (first_y + i stride_y, first_x + j stride_x) of the input.

    Pixels are counted from 0 at the centre of the first one. A network without padding (SqueezeNet: stride 16, first
    cell at pixel 15) leaves a border that no cell is centred in; one with padding (ResNet: stride 32, first cell at 0)
    has its first cell on the border. Stretching either map over the photo shifts it by up to half a cell.
    """

    stride_yx: Pair = (1.0, 1.0)
    first_yx: Pair = (0.0, 0.0)

    def through(self, *, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Grid:
        """The grid behind one more convolution or pooling."""
        offset = [d * (k - 1) / 2 - p for k, p, d in zip(kernel, padding, dilation, strict=True)]
        return Grid(
            (self.stride_yx[0] * stride[0], self.stride_yx[1] * stride[1]),
            (self.first_yx[0] + offset[0] * self.stride_yx[0], self.first_yx[1] + offset[1] * self.stride_yx[1]),
        )


def find_grid(features: fx.GraphModule) -> Grid:
    """Follow one path from the last feature map back to the input, and add up its convolutions and poolings.

    Parallel branches that are joined again lie on the same grid, so any path does that avoids global pooling
    (squeeze-and-excite branches).
    """
    return find_grid_of(next(iter(reversed(features.graph.nodes))).args[0], features)


def find_grid_of(last: fx.Node, features: fx.GraphModule) -> Grid:
    """The same for any node of the network whose value is a feature map."""
    grid = Grid()
    for node in reversed(next(_paths(last, features))):
        window = _window(node, features)
        grid = grid.through(**window) if window else grid
    return grid


def _paths(node: fx.Node, features: fx.GraphModule) -> Iterator[list[fx.Node]]:
    """Paths from a node back to the network's input, depth first."""
    if node.op == "placeholder":
        yield [node]
        return
    if _is_global(node, features):
        return
    for source in node.all_input_nodes:
        for rest in _paths(source, features):
            yield [node, *rest]


def _is_global(node: fx.Node, features: fx.GraphModule) -> bool:
    if node.op == "call_module":
        return isinstance(features.get_submodule(str(node.target)), (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d))
    return getattr(node.target, "__name__", node.target) in {"adaptive_avg_pool2d", "mean", "size", "getattr"}


def _window(node: fx.Node, features: fx.GraphModule) -> dict[str, Pair] | None:
    """Kernel, stride, padding and dilation of a convolution or pooling; None for what moves no cell."""
    if node.op == "call_module":
        module = features.get_submodule(str(node.target))
        if not isinstance(module, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
            return None
        values: tuple[Any, ...] = (module.kernel_size, module.stride, module.padding, getattr(module, "dilation", 1))
    elif getattr(node.target, "__name__", "") in {"max_pool2d", "boolean_dispatch", "avg_pool2d"}:
        named = dict(zip(("kernel_size", "stride", "padding"), node.args[1:], strict=False)) | node.kwargs
        kernel = named["kernel_size"]
        values = (kernel, named.get("stride") or kernel, named.get("padding", 0), 1)
    else:
        return None
    kernel, stride, padding, dilation = (_pair(value) for value in values)
    return {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}


def _pair(value: Any) -> Pair:
    return (value[0], value[1]) if isinstance(value, (tuple, list)) else (value, value)
