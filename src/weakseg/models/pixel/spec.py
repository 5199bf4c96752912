"""The language of conv-deconv networks, such as ``C5,64,2C5,64,1M2C5,64,2C5,64,1M2C5,64,2C5,64,1M2``.

The slides (Naplava, Kluj, Svec: Image Segmentation using Neural Networks) show such strings without a grammar. Ours::

    spec        = layer , { layer } ;
    layer       = convolution | pooling ;
    convolution = "C" , number , "," , number , [ "," , third ] ;      kernel, channels
    third       = number                                               stride (or repeats: see below)
                | "s" , number , [ "," , "x" , number ]                stride, repeats
                | "x" , number ;                                       repeats
    pooling     = "M" , number ;                                       max pooling of n x n, stride n
    number      = digit , { digit } ;                                  1 or more

Spaces are allowed before and after every token, and letters may be small. The encoder is what a string describes; the
decoder mirrors it. A bare third number is the stride, unless the reader says ``third="repeats"``
(docs/decisions/0012-conv-deconv-grammar.md). The canonical spelling, which `ConvDeconvSpec` prints, says which one it
is: ``C5,64,s2`` or ``C5,64,s1,x2``. Of a repeated convolution the first one strides.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import Literal, TypeVar

from weakseg.errors import ModelError

Third = Literal["stride", "repeats"]
LARGEST_TOTAL_STRIDE = 256  # beyond, a photo of 250 pixels is less than one cell
MOST_LAYERS = 256  # with repeats one by one; the slides' networks have 12 at most
MOST_WEIGHTS = 500_000_000  # of the encoder and its mirror: 2 GB
_LARGEST = {"kernel": 31, "channels": 4096, "stride": 8, "repeats": 64, "pooling": 8}
_TOKEN = re.compile(r"\s*(?:(?P<number>[0-9]{1,9})|(?P<sign>.))", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Convolution:
    """``C<kernel>,<channels>,s<stride>,x<repeats>``; kernels are odd, so that padding is the same on all sides."""

    kernel: int
    channels: int
    stride: int = 1
    repeats: int = 1

    def __post_init__(self) -> None:
        for name in ("kernel", "channels", "stride", "repeats"):
            _refuse_beyond(name, getattr(self, name), least=1)
        if self.kernel % 2 == 0:
            raise ModelError(f"kernel = {self.kernel}: give an odd one, e.g. {self.kernel + 1}.")

    def __str__(self) -> str:
        repeats = f",x{self.repeats}" if self.repeats > 1 else ""
        return f"C{self.kernel},{self.channels},s{self.stride}{repeats}"


@dataclass(frozen=True, slots=True)
class Pooling:
    """``M<factor>``: max pooling of factor x factor cells, stride factor."""

    factor: int

    def __post_init__(self) -> None:
        _refuse_beyond("pooling", self.factor, least=2)

    def __str__(self) -> str:
        return f"M{self.factor}"


Layer = Convolution | Pooling
LayerT = TypeVar("LayerT", Convolution, Pooling)


@dataclass(frozen=True, slots=True)
class ConvDeconvSpec:
    """An encoder: what `parse_spec` returns, and what ``str`` prints in the canonical spelling.

    Raises:
        ModelError: no layers, the first one is no convolution, or the strides multiply to more than 256.
    """

    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        if not self.layers or not isinstance(self.layers[0], Convolution):
            raise ModelError(f"spec = {str(self)!r}: begin with a convolution, e.g. C5,64,s2.")
        if self.total_stride > LARGEST_TOTAL_STRIDE:
            raise ModelError(
                f"spec = {str(self)!r}: its strides and poolings multiply to {self.total_stride}; "
                f"leave some out, {LARGEST_TOTAL_STRIDE} is the most."
            )

    def __str__(self) -> str:
        return "".join(map(str, self.layers))

    @property
    def total_stride(self) -> int:
        """Pixels per cell of the deepest map, along one side."""
        return prod(layer.factor if isinstance(layer, Pooling) else layer.stride for layer in self.layers)

    @property
    def layer_count(self) -> int:
        """Of the encoder, with repeats one by one."""
        return sum(1 if isinstance(layer, Pooling) else layer.repeats for layer in self.layers)

    def count_weights(self, outputs: int, *, transposed: bool = False) -> int:
        """Of the encoder and a mirror of its own, at most; without the few of biases and normalisation.

        Args:
            outputs: Channels that the mirror of the first convolution writes.
            transposed: Poolings are mirrored by transposed convolutions, with kernels of twice their size.
        """
        count, reads, writes = 0, 3, outputs
        for layer in self.layers:
            if isinstance(layer, Convolution):
                again = 2 * layer.channels * (layer.repeats - 1)
                count += layer.kernel**2 * layer.channels * (reads + writes + again)
                reads = writes = layer.channels
            elif transposed:
                count += (2 * layer.factor * reads) ** 2
        return count

    def refuse_excess(self, outputs: int, *, transposed: bool = False) -> None:
        """Whoever reads a spec from a file asks this before anything is unrolled or built.

        Raises:
            ModelError: more than 256 layers, or more than 500 million weights (see `count_weights`).
        """
        weights = self.count_weights(outputs, transposed=transposed)
        for what, found, most in (("layers", self.layer_count, MOST_LAYERS), ("weights", weights, MOST_WEIGHTS)):
            if found > most:
                raise ModelError(
                    f"spec = {str(self)!r:.80}: {found:,} {what} are more than {most:,}; "
                    "give fewer layers, repeats or channels, or smaller kernels."
                )

    def unrolled(self) -> ConvDeconvSpec:
        """The same network without repeats: one layer each."""
        layers: list[Layer] = []
        for layer in self.layers:
            if isinstance(layer, Pooling):
                layers.append(layer)
            else:
                once = replace(layer, repeats=1)
                layers += [once, *[replace(once, stride=1)] * (layer.repeats - 1)]
        return ConvDeconvSpec(tuple(layers))

    def with_stride_one(self) -> ConvDeconvSpec:
        """Every convolution at stride 1; poolings stay."""
        return ConvDeconvSpec(
            tuple(layer if isinstance(layer, Pooling) else replace(layer, stride=1) for layer in self.layers)
        )

    def widened(self, width: float) -> ConvDeconvSpec:
        """All channels times ``width``, rounded, at least 1. Raises: ModelError: too many channels."""
        return ConvDeconvSpec(
            tuple(
                layer if isinstance(layer, Pooling) else replace(layer, channels=max(1, round(layer.channels * width)))
                for layer in self.layers
            )
        )


def parse_spec(text: str, *, third: Third = "stride") -> ConvDeconvSpec:
    """Read a spec string (grammar: this module's docstring).

    Args:
        text: For example ``C5,64,2C5,64,1M2``.
        third: What a third number without a letter says.
    Raises:
        ModelError: with the position (from 1), what was found there, and what was expected; or more than 256 layers.
    """
    if third not in ("stride", "repeats"):
        raise ModelError(f"third = {third!r}: give stride or repeats.")
    return _Reader(text, third).spec()


@dataclass(frozen=True, slots=True)
class _Token:
    """A number, or one other character; ``text`` is empty at the end of the string."""

    text: str
    position: int  # of its first character, from 0

    @property
    def is_number(self) -> bool:
        return self.text.isascii() and self.text.isdigit()


class _Reader:
    """Recursive descent: one method per rule of the grammar."""

    def __init__(self, text: str, third: Third) -> None:
        self.text, self.third = text, third
        self.tokens = [
            _Token(match[match.lastgroup or 0], match.start(match.lastgroup or 0))
            for match in _TOKEN.finditer(text.rstrip())
        ]
        self.tokens.append(_Token("", len(text.rstrip())))
        self.at = 0

    def spec(self) -> ConvDeconvSpec:
        layers = [self.layer()]
        while self.peek().text:
            if len(layers) == MOST_LAYERS:
                raise ModelError(f"spec = {self.text!r:.80}: more than {MOST_LAYERS} layers; give fewer.")
            layers.append(self.layer())
        return ConvDeconvSpec(tuple(layers))

    def layer(self) -> Layer:
        token = self.peek()
        if self.accept("M"):
            return self.checked(token, lambda: Pooling(self.number("the pooling's size")))
        if self.accept("C"):
            return self.checked(token, self.convolution)
        raise self.error("a layer: C (convolution) or M (max pooling)")

    def convolution(self) -> Convolution:
        kernel = self.number("the kernel's size")
        if not self.accept(","):
            raise self.error("a comma and the number of channels")
        channels = self.number("the number of channels")
        if not self.accept(","):
            return Convolution(kernel, channels)
        return Convolution(kernel, channels, **self.rest())

    def rest(self) -> dict[str, int]:
        """Behind the second comma."""
        if self.peek().is_number:
            return {self.third: self.number("a number")}
        if self.accept("X"):
            return {"repeats": self.number("the number of repeats")}
        if not self.accept("S"):
            raise self.error(f"the {self.third} as a number, s and the stride, or x and the number of repeats")
        said = {"stride": self.number("the stride")}
        if self.accept(","):
            if not self.accept("X"):
                raise self.error("x and the number of repeats")
            said["repeats"] = self.number("the number of repeats")
        return said

    def number(self, meaning: str) -> int:
        token = self.peek()
        if not token.is_number:
            raise self.error(f"{meaning}, a number")
        self.at += 1
        return int(token.text)

    def peek(self) -> _Token:
        return self.tokens[self.at]

    def accept(self, sign: str) -> bool:
        found = self.peek().text.upper() == sign
        self.at += found
        return found

    def checked(self, start: _Token, read: Callable[[], LayerT]) -> LayerT:
        """A layer whose values are refused says where it stands."""
        try:
            return read()
        except _SpellingError:
            raise
        except ModelError as error:
            raise ModelError(f"spec = {self.text!r}, layer at position {start.position + 1}: {error}") from error

    def error(self, expected: str) -> ModelError:
        token = self.peek()
        found = repr(token.text) if token.text else "the end"
        return _SpellingError(
            f"spec = {self.text!r}, position {token.position + 1}: found {found}, expected {expected}."
        )


class _SpellingError(ModelError):
    """The string does not follow the grammar."""


def _refuse_beyond(name: str, value: int, *, least: int) -> None:
    if not least <= value <= _LARGEST[name]:
        raise ModelError(f"{name} = {value}: give a whole number from {least} to {_LARGEST[name]}.")
