"""Back through operators that move numbers and change none: reshaping, reordering, joining, taking apart."""

from __future__ import annotations

from torch import Tensor, nn

from weakseg.models.operators import Call
from weakseg.models.rules import Rule, Visit


class Reshape(Rule):
    """flatten, view, reshape, squeeze, unsqueeze."""

    def pull_back(self, cotangent: Tensor, visit: Visit, /) -> Tensor:
        return cotangent.reshape(-1, *visit.input.shape[1:])  # (K * B, ...)


class Permute(Rule):
    """Of all axes but the first, which is the batch."""

    def __init__(self, axes: tuple[int, ...]) -> None:
        super().__init__()
        self.inverse = tuple(axes.index(axis) for axis in range(len(axes)))

    def pull_back(self, cotangent: Tensor, _visit: Visit, /) -> Tensor:
        return cotangent.permute(self.inverse)


class Cat(Rule):
    """Along any axis but the first."""

    def __init__(self, call: Call, axis: int) -> None:
        super().__init__()
        self.axis = axis
        self.sizes = [call.shapes[source][axis] for source in call.sources]

    def pull_back(self, cotangent: Tensor, visit: Visit, /) -> Tensor:
        return cotangent.narrow(self.axis, sum(self.sizes[: visit.index]), self.sizes[visit.index])


class Part(Rule):
    """Some channels: the others get 0."""

    def __init__(self, first: int, after: int, *, drops_axis: bool = False) -> None:
        super().__init__()
        self.first, self.after = first, after
        self.drops_axis = drops_axis

    def pull_back(self, cotangent: Tensor, _visit: Visit, /) -> Tensor:
        part = cotangent[:, None] if self.drops_axis else cotangent  # (K * B, c, h, w)
        return nn.functional.pad(part, (0, 0, 0, 0, self.first, self.after))  # (K * B, C, h, w)
