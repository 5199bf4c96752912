"""How cotangents pass back through an operator: the frame of a rule, and the rules of elementwise operators.

A *cotangent* is the gradient of a seeded sum with respect to a value. A value has shape (B, ...); K backward passes run
as one batch, and their cotangents lie behind each other, pass by pass: (K * B, ...). A convolution takes that as it is,
and what is computed once per image (masks) is spread over the passes by :func:`weigh`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from weakseg.models.operators import Call, Shape


@dataclass(frozen=True)
class Visit:
    """What a rule may look at, besides the cotangent."""

    inputs: tuple[Tensor, ...]  # the operator's tensor arguments, in order
    output: Tensor
    index: int  # the input that a cotangent is wanted for
    passes: int  # K
    guided: bool

    @property
    def input(self) -> Tensor:
        return self.inputs[self.index]


Derivative = Callable[[Visit], Tensor]  # at an operator's input and output, (B, ...)


class Rule(nn.Module):
    """The backward pass of one operator; its constants are buffers.

    With ``replaces`` the rule's ``forward`` also takes the operator's place, because the operator itself cannot be
    exported with dynamic sizes.
    """

    replaces = False

    def pull_back(self, cotangent: Tensor, visit: Visit, /) -> Tensor:
        """Cotangent of the output, (K * B, ...), to that of the input ``visit.index``."""
        raise NotImplementedError


class Identity(Rule):
    """Whatever changes no number in eval mode: dropout, stochastic depth."""

    def pull_back(self, cotangent: Tensor, _visit: Visit, /) -> Tensor:
        return cotangent


class Elementwise(Rule):
    """One number in, one number out."""

    def __init__(self, derivative: Derivative) -> None:
        super().__init__()
        self.derivative = derivative

    def pull_back(self, cotangent: Tensor, visit: Visit, /) -> Tensor:
        return weigh(cotangent, self.derivative(visit), visit.passes)


class Rectifier(Elementwise):
    """ReLU and ReLU6. Guided (Springenberg et al. 2015): what is negative in the cotangent is removed as well."""

    def pull_back(self, cotangent: Tensor, visit: Visit, /) -> Tensor:
        return super().pull_back(cotangent.relu() if visit.guided else cotangent, visit)


class Sum(Rule):
    """a + b or a - b, with broadcasting: an input that was repeated gets the sum over its copies."""

    def __init__(self, call: Call, *, signs: tuple[float, float] = (1.0, 1.0)) -> None:
        super().__init__()
        self.signs = signs
        self.repeated = [repeated_axes(call.shapes[source], call.shape) for source in call.sources]

    def pull_back(self, cotangent: Tensor, visit: Visit, /) -> Tensor:
        signed = cotangent if self.signs[visit.index] > 0 else -cotangent
        return add_up(signed, self.repeated[visit.index])


class Product(Rule):
    """a * b of two tensors, with broadcasting (squeeze-and-excite; a layer's scale)."""

    def __init__(self, call: Call) -> None:
        super().__init__()
        self.shapes = [call.shapes[source] for source in call.sources]
        self.repeated = [repeated_axes(shape, call.shape) for shape in self.shapes]

    def pull_back(self, cotangent: Tensor, visit: Visit, /) -> Tensor:
        other = 1 - visit.index
        factor = visit.inputs[other]
        if len(self.shapes[other]) < len(self.shapes[visit.index]):  # a parameter: it has no batch axis
            weighted = cotangent * factor
        elif self.repeated[other]:
            weighted = weigh_repeated(cotangent, factor, visit.passes)
        else:
            weighted = weigh(cotangent, factor, visit.passes)
        return add_up(weighted, self.repeated[visit.index])


class Times(Rule):
    """Times a number."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = number

    def pull_back(self, cotangent: Tensor, _visit: Visit, /) -> Tensor:
        return cotangent * self.number


class Scale(Rule):
    """Times a constant per channel: batch normalisation in eval mode."""

    factor: Tensor

    def __init__(self, factor: Tensor) -> None:
        super().__init__()
        self.register_buffer("factor", factor)

    def pull_back(self, cotangent: Tensor, _visit: Visit, /) -> Tensor:
        return cotangent * self.factor


class LayerNorm(Rule):
    """Over the last axis or axes. Mean and deviation are made again from the input rather than kept."""

    weight: Tensor | None

    def __init__(self, weight: Tensor | None, axes: int, epsilon: float) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.axes = tuple(range(-axes, 0))
        self.epsilon = epsilon

    def pull_back(self, cotangent: Tensor, visit: Visit, /) -> Tensor:
        centred = visit.input - visit.input.mean(self.axes, keepdim=True)  # (B, ...)
        scale = (centred.square().mean(self.axes, keepdim=True) + self.epsilon).rsqrt()  # (B, ..., 1)
        units = centred * scale  # (B, ...)
        weighted = cotangent if self.weight is None else cotangent * self.weight
        passes = split_passes(weighted, visit.passes)  # (K, B, ...)
        along = (passes * units).mean(self.axes, keepdim=True)  # (K, B, ..., 1)
        pulled = (passes - passes.mean(self.axes, keepdim=True) - units * along) * scale  # (K, B, ...)
        return pulled.flatten(0, 1)  # (K * B, ...)


def weigh(cotangent: Tensor, factor: Tensor, passes: int) -> Tensor:
    """Multiply every pass's cotangent, (K * B, ...), with the same factor, (B, ...); it may be a mask of bools."""
    weighted = cotangent.reshape(passes, -1) * factor.reshape(1, -1)  # (K, B ...)
    return weighted.reshape_as(cotangent)  # (K * B, ...)


def weigh_repeated(cotangent: Tensor, factor: Tensor, passes: int) -> Tensor:
    """The same with a factor that is repeated along axes where it has size 1."""
    return (split_passes(cotangent, passes) * factor).flatten(0, 1)  # (K * B, ...)


def join_passes(cotangent: Tensor) -> Tensor:
    """(B, K, ...) to (K * B, ...)."""
    return cotangent.transpose(0, 1).flatten(0, 1)  # (K * B, ...)


def split_passes(cotangent: Tensor, passes: int) -> Tensor:
    """(K * B, ...) to (K, B, ...)."""
    return cotangent.reshape(passes, -1, *cotangent.shape[1:])  # (K, B, ...)


def repeated_axes(shape: Shape, broadcast: Shape) -> tuple[int, ...]:
    """Along which axes a tensor is repeated to get the other shape, of the same rank."""
    if len(shape) != len(broadcast):
        return ()
    return tuple(axis for axis, (own, whole) in enumerate(zip(shape, broadcast, strict=True)) if own != whole)


def add_up(cotangent: Tensor, axes: tuple[int, ...]) -> Tensor:
    return cotangent.sum(axes, keepdim=True) if axes else cotangent


def _gelu(at: Visit) -> Tensor:
    density = torch.exp(-0.5 * at.input.square()) / math.sqrt(2 * math.pi)
    return 0.5 * (1 + torch.erf(at.input / math.sqrt(2))) + at.input * density


def _silu(at: Visit) -> Tensor:
    share = at.input.sigmoid()
    return share + at.output * (1 - share)


def leaky_derivative(slope: float) -> Derivative:
    return lambda at: (at.input > 0).to(at.input.dtype) * (1 - slope) + slope


RECTIFIERS: dict[str, Derivative] = {
    "relu": lambda at: at.output > 0,
    "relu6": lambda at: (at.output > 0) & (at.output < 6),
}
DERIVATIVES: dict[str, Derivative] = {
    "exp": lambda at: at.output,
    "gelu": _gelu,
    "hardsigmoid": lambda at: (at.input.abs() < 3).to(at.input.dtype) / 6,
    "hardswish": lambda at: (at.input / 3 + 0.5) * (at.input.abs() <= 3) + (at.input > 3),
    "log": lambda at: at.input.reciprocal(),
    "sigmoid": lambda at: at.output * (1 - at.output),
    "silu": _silu,
    "tanh": lambda at: 1 - at.output.square(),
}
