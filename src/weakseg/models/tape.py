"""The backward pass of a classifier as ordinary operators: gradients that need no autograd, and so can be exported.

Reverse mode, spelled out: the network is traced with torch.fx, every operator that a gradient may pass gets a rule
(:mod:`weakseg.models.rulebook`), and the rules are applied from the seeds back to the wanted layers. All loops run over
the network's operators, in Python: tracing unrolls them, and what is exported is one graph that does forward and
backward passes. No number is taken from a shape, so that it is dynamic in batch, passes and image size.

A saliency map (Simonyan et al. 2013) of K classes per image:

    tape = record_tape(model, "resnet18")
    values = tape.run(images)                                        # one forward pass
    seeds = one_hot(classes, tape.class_count).float()               # (B, K, C)
    grads = tape.pull_back(values, {OUTPUT: seeds}, [INPUT])[INPUT]  # (B, K, 3, h, w): K backward passes as one batch
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from weakseg.errors import UnsupportedNetworkError, UnsupportedOperatorError
from weakseg.models.grid import Grid, find_grid_of
from weakseg.models.layers import Layout, find_layout
from weakseg.models.operators import Call, Shape, sources_of
from weakseg.models.rulebook import SUPPORTED, make_rule
from weakseg.models.rules import Rule, Visit, join_passes, split_passes
from weakseg.models.tracing import evaluate, output_of, propagate, trace_network

INPUT = "<input>"  # the images, as a wanted layer
OUTPUT = "<output>"  # the logits, as a seeded layer
CHECK_HW = ((96, 128), (128, 160))  # large enough for every torchvision classifier, and not square
CHECK_TOLERANCE = 1e-4  # relative to the largest logit


@dataclass(frozen=True)
class Values:
    """What a forward pass computed: ``values[layer]`` is (B, c, h', w')."""

    by_node: Mapping[fx.Node, Any]
    by_name: Mapping[str, fx.Node]

    def __getitem__(self, layer: str) -> Tensor:
        value: Tensor = self.by_node[self.by_name[layer]]
        return value

    @property
    def output(self) -> Tensor:
        """(B, C) logits. Raises KeyError after a run that stopped before them."""
        return self[OUTPUT]


class Tape(nn.Module):
    """A classifier that can be run forward, and backward from and to any of its layers. Made by `record_tape`."""

    def __init__(self, network: fx.GraphModule, rules: Mapping[fx.Node, Rule], layout: Layout) -> None:
        super().__init__()
        self.network = network
        self.rules = nn.ModuleDict({node.name: rule for node, rule in rules.items()})
        self.layout = layout
        self.nodes = [node for node in network.graph.nodes if node.op != "output"]
        self.by_name = {node.name: node for node in self.nodes}
        self.by_name |= {INPUT: layout.input, OUTPUT: output_of(network)}
        self.eval()

    @property
    def class_count(self) -> int:
        return self.layout.class_count

    @property
    def layers(self) -> tuple[str, ...]:
        """Every operator whose value is a feature map (B, c, h', w'), in the network's order."""
        return tuple(node.name for node in self.layout.maps)

    @property
    def convolutions(self) -> tuple[str, ...]:
        """The layers behind each convolution, its normalisation and its activation, in the network's order."""
        return tuple(node.name for node in self.layout.convolutions)

    @property
    def class_map(self) -> str | None:
        """The layer of class maps (B, C, h', w') whose global mean or maximum are the logits; None: there is none."""
        return self.layout.class_map.name if self.layout.class_map else None

    def grid(self, layer: str) -> Grid:
        """Where the cells of a layer lie in the input."""
        return find_grid_of(self._node(layer), self.network)

    def run(self, images: Tensor, until: str | None = None) -> Values:
        """One forward pass.

        Args:
            images: (B, 3, h, w) float32, normalised.
            until: The last layer that is needed; default: everything.
        """
        last = self._node(until or OUTPUT)
        values: dict[fx.Node, Any] = {self.layout.input: images}
        for node in self.nodes:
            if node not in values:
                values[node] = self._evaluate(node, values)
            if node is last:
                break
        return Values(values, self.by_name)

    def pull_back(
        self, values: Values, seeds: Mapping[str, Tensor], wanted: Collection[str], guided: bool = False
    ) -> dict[str, Tensor]:
        """K backward passes as one batch: gradients of ``sum(seed * value)`` over all seeded layers.

        Args:
            values: Of a forward pass that came at least to the seeded layers.
            seeds: Layer or OUTPUT to what goes in there: (B, K, c, h', w') or (B, K, C), K the same for all.
            wanted: Layers, or INPUT.
            guided: Guided backprop (Springenberg et al. 2015): at every ReLU (and ReLU6) the negative part of what
                comes back is removed. Other activations (SiLU, GELU ...) are passed as they are.
        Returns:
            Per wanted layer (B, K, c, h', w').
        Raises:
            ValueError: no such layer, or a wanted layer that no seeded layer depends on.
        """
        passes = next(iter(seeds.values())).shape[1]
        goals = {self._node(name): name for name in wanted}
        pending = {self._node(name): join_passes(seed) for name, seed in seeds.items()}
        found: dict[str, Tensor] = {}
        on_the_way = self._descendants(goals)
        for node in reversed(self.nodes):
            if node not in on_the_way or node not in pending:
                continue
            cotangent = pending.pop(node)
            if node in goals:
                found[goals[node]] = split_passes(cotangent, passes).transpose(0, 1)  # (B, K, c, h', w')
            for index, source in enumerate(sources_of(node)):
                if source in on_the_way:
                    visit = self._visit(node, index, values, passes, guided)
                    pulled = self._rule(node).pull_back(cotangent, visit)
                    pending[source] = pending[source] + pulled if source in pending else pulled
        if missing := set(wanted) - set(found):
            raise ValueError(f"{sorted(seeds)} do not depend on {sorted(missing)}.")
        return found

    def _descendants(self, goals: Collection[fx.Node]) -> set[fx.Node]:
        """The goals, and every operator that a gradient passes on its way to one of them."""
        found = set(goals)
        for node in self.nodes:
            if node.name in self.rules and any(source in found for source in sources_of(node)):
                found.add(node)
        return found

    def _visit(self, node: fx.Node, index: int, values: Values, passes: int, guided: bool) -> Visit:
        inputs = tuple(values.by_node[source] for source in sources_of(node))
        return Visit(inputs, values.by_node[node], index, passes, guided)

    def _evaluate(self, node: fx.Node, values: Mapping[fx.Node, Any]) -> Any:
        if node.name in self.rules and self._rule(node).replaces:
            return self._rule(node)(*(values[source] for source in sources_of(node)))
        return evaluate(node, self.network, values)

    def _rule(self, node: fx.Node) -> Rule:
        rule = self.rules[node.name]
        assert isinstance(rule, Rule)
        return rule

    def _node(self, layer: str) -> fx.Node:
        if layer not in self.by_name:
            raise ValueError(f"no layer {layer!r}; there are {', '.join(self.layers)}.")
        node: fx.Node = self.by_name[layer]
        return node


def record_tape(model: nn.Module, name: str) -> Tape:
    """Trace a classifier and find a backward rule for each of its operators.

    Args:
        model: Any classifier (B, 3, h, w) -> (B, C), on the CPU. It is copied, and left as it was.
        name: For messages.
    Raises:
        UnsupportedOperatorError: an operator has no backward rule; names it, and the module that calls it.
        UnsupportedNetworkError: torch.fx cannot trace the network, or the tape's logits are not the network's.
    """
    network = trace_network(model, name)
    dtype = next((each.dtype for each in network.parameters()), torch.float32)
    generator = torch.Generator().manual_seed(0)
    images = [torch.randn(2 - step, 3, *hw, generator=generator, dtype=dtype) for step, hw in enumerate(CHECK_HW)]
    with torch.no_grad():
        small, large = (propagate(network, each, name) for each in images)
        rules = _make_rules(network, small, name)
        tape = Tape(network, rules, find_layout(network, small, large))
        _verify(tape, model, images[0], name)
    return tape


def _make_rules(network: fx.GraphModule, values: Mapping[fx.Node, Any], name: str) -> dict[fx.Node, Rule]:
    """A rule for every operator that turns what depends on the image into tensors of real numbers."""
    shapes = {node: shape for node, value in values.items() if (shape := _shape(value)) is not None}
    on_tape = {next(iter(network.graph.nodes))}
    rules: dict[fx.Node, Rule] = {}
    for node in network.graph.nodes:
        if node.op == "output" or node not in shapes or not on_tape.intersection(sources_of(node)):
            continue
        call = Call(node, network, shapes)
        rule = make_rule(call)
        if rule is None:
            raise UnsupportedOperatorError(
                f"{name}: gradients cannot pass {call}: no rule for it, or not for its settings. Replace it, or take "
                f"another network. Operators with a rule: {', '.join(SUPPORTED)}."
            )
        rules[node] = rule
        on_tape.add(node)
    return rules


def _shape(value: Any) -> Shape | None:
    """Of a tensor of real numbers; of what is taken apart (chunk), that of its first part."""
    first = value[0] if isinstance(value, (tuple, list)) and not isinstance(value, torch.Size) and value else value
    return tuple(first.shape) if isinstance(first, Tensor) and first.is_floating_point() else None


def _verify(tape: Tape, model: nn.Module, images: Tensor, name: str) -> None:
    expected = copy.deepcopy(model).eval()(images)  # (2, C)
    difference = float((expected - tape.run(images).output).abs().max())
    if not difference <= CHECK_TOLERANCE * max(1.0, float(expected.abs().max())):
        raise UnsupportedNetworkError(f"{name}: the recorded network gives logits that differ by {difference:.2g}.")
