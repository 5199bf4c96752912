"""Back through pooling, without indices: runtimes are slow to keep and to scatter by them.

A window of k x k is taken as two windows, k rows and then k columns. Tap t of a window is the t-th row of every window:
a slice with the pooling's stride. Putting taps back where they came from is the same backwards. Columns are taken as
rows of the transposed map: runtimes slice and join whole rows several times faster than single columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor, nn

from weakseg.models.operators import Call, pair
from weakseg.models.rules import Rule, Visit, weigh


@dataclass(frozen=True)
class Window:
    """One axis of a pooling, taken along the rows of (B, C, h, w); for columns, transpose before and after."""

    size: int
    stride: int
    padding: int
    ceil_mode: bool

    def taps(self, values: Tensor, count: int) -> list[Tensor]:
        """The rows of ``count`` windows, by their place in the window: ``size`` tensors (B, C, count, w)."""
        after = self.padding + (self.stride - 1 if self.ceil_mode else 0)
        padded = pad_rows(values, self.padding, after, float("-inf"))
        reach = (count - 1) * self.stride + 1
        return [padded[:, :, first : first + reach : self.stride] for first in range(self.size)]

    def put_back(self, cotangent: Tensor, masks: Sequence[Tensor] | None, length: int, passes: int) -> Tensor:
        """Windows to rows, ``taps`` backwards: (K * B, C, count, w) to (K * B, C, length, w).

        Args:
            cotangent: One value per window, for all its taps alike.
            masks: What of it each tap gets, (B, C, count, w); None: everything.
        """
        steps = -(-self.size // self.stride)  # a row lies in at most so many windows
        reaches_end = self.size - self.padding - 1 <= self.stride * (steps - 1)
        room = steps - 1 if reaches_end else steps
        shifted = [pad_rows(cotangent, step, room - step, 0.0) for step in range(steps)]
        phases: list[Tensor] = []
        for phase in range(self.stride):  # every stride-th row, starting at this one
            shares = []
            for step, tap in enumerate(range(phase, self.size, self.stride)):
                share = shifted[step]
                if masks is not None:
                    mask = pad_rows(masks[tap].to(share.dtype), step, room - step, 0.0)
                    share = weigh(share, mask, passes)
                shares.append(share)
            phases.append(reduce(torch.add, shares) if shares else torch.zeros_like(shifted[0]))
        rows = torch.stack(phases, 3).flatten(2, 3) if self.stride > 1 else phases[0]  # (K * B, C, count * stride, w)
        return rows[:, :, self.padding : self.padding + length]


def windows(call: Call) -> tuple[Window, Window]:
    """Rows and columns of a max or average pooling."""
    size = pair(call.setting("kernel_size", 1))
    stride = pair(call.setting("stride", 2) or size)
    padding = pair(call.setting("padding", 3, 0))
    ceil_mode = bool(call.setting("ceil_mode", 5 if call.operator == "max_pool2d" else 4, False))
    rows, columns = (Window(size[axis], stride[axis], padding[axis], ceil_mode) for axis in (0, 1))
    return rows, columns


class MaxPool(Rule):
    """The cotangent goes to the window's maximum; of several equal ones to the first, column by column.

    Autograd also takes one of them, the first row by row. Columns go first here because rows, which are whole in
    memory, are then what is sliced and joined at full size. All of the equal ones would get it twice and more where a
    photo is one colour, and so are its features; a runtime's own choice would make results depend on the runtime.
    Behind a ReLU most ties are between zeros, whose cotangent the ReLU removes, whatever is done here.
    """

    def __init__(self, rows: Window, columns: Window) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns

    def pull_back(self, cotangent: Tensor, visit: Visit, /) -> Tensor:
        height, width = visit.input.shape[2], visit.input.shape[3]
        rows = self.rows.taps(visit.input, visit.output.shape[2])
        best = reduce(torch.maximum, rows)  # (B, C, h', w): of each window's rows, column by column
        columns = self.columns.taps(best.transpose(2, 3), visit.output.shape[3])  # of (B, C, w', h')
        in_columns = first_equal(columns, visit.output.transpose(2, 3))
        line = self.columns.put_back(cotangent.transpose(2, 3), in_columns, width, visit.passes).transpose(
            2, 3
        )  # (K * B, C, h', w)
        return self.rows.put_back(line, first_equal(rows, best), height, visit.passes)  # (K * B, C, h, w)


class AveragePool(Rule):
    """Every cell of a window gets the same share; padding counts as cells."""

    def __init__(self, rows: Window, columns: Window) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns

    def pull_back(self, cotangent: Tensor, visit: Visit, /) -> Tensor:
        share = cotangent / (self.rows.size * self.columns.size)  # (K * B, C, h', w')
        line = self.columns.put_back(share.transpose(2, 3), None, visit.input.shape[3], visit.passes).transpose(
            2, 3
        )  # (K * B, C, h', w)
        return self.rows.put_back(line, None, visit.input.shape[2], visit.passes)  # (K * B, C, h, w)


class AdaptiveAveragePool(Rule):
    """Means over a fixed number of parts, as one small matrix per axis that is made from the size as it is."""

    replaces = True
    row_parts: Tensor  # (parts, 1): 0, 1, 2 ...
    column_parts: Tensor

    def __init__(self, parts: tuple[int, int]) -> None:
        super().__init__()
        self.register_buffer("row_parts", torch.arange(parts[0], dtype=torch.float32)[:, None])
        self.register_buffer("column_parts", torch.arange(parts[1], dtype=torch.float32)[:, None])

    def forward(self, values: Tensor) -> Tensor:
        rows, columns = self.shares(values)  # (p, h), (q, w)
        averaged: Tensor = rows @ values @ columns.T  # (B, C, p, q)
        return averaged

    def pull_back(self, cotangent: Tensor, visit: Visit, /) -> Tensor:
        rows, columns = self.shares(visit.input)  # (p, h), (q, w)
        pulled: Tensor = rows.T @ cotangent @ columns  # (K * B, C, h, w)
        return pulled

    def shares(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """How much each cell counts in each part, of rows and of columns: (p, h) and (q, w)."""
        cells = [torch.ones_like(values[0, 0].select(axis, 0)).cumsum(0) - 1 for axis in (1, 0)]  # (h,), (w,)
        return share_out(self.row_parts, cells[0]), share_out(self.column_parts, cells[1])


class Mean(Rule):
    """Global average pooling."""

    def __init__(self, *, keepdim: bool) -> None:
        super().__init__()
        self.keepdim = keepdim

    def pull_back(self, cotangent: Tensor, visit: Visit, /) -> Tensor:
        height, width = visit.input.shape[2], visit.input.shape[3]
        share = (cotangent if self.keepdim else cotangent[:, :, None, None]) / (height * width)  # (K * B, C, 1, 1)
        return share.expand(-1, -1, height, width)  # (K * B, C, h, w)


class GlobalMax(Rule):
    """Global max pooling. Several equal maxima: ``first`` or an equal share for all, each as autograd does it."""

    def __init__(self, *, keepdim: bool, first: bool) -> None:
        super().__init__()
        self.keepdim, self.first = keepdim, first

    def pull_back(self, cotangent: Tensor, visit: Visit, /) -> Tensor:
        best = visit.output if self.keepdim else visit.output[:, :, None, None]  # (B, C, 1, 1)
        equal = (visit.input == best).to(cotangent.dtype).flatten(2)  # (B, C, N)
        shares = equal * (equal.cumsum(2) < 1.5) if self.first else equal / equal.sum(2, keepdim=True)  # (B, C, N)
        passes = cotangent.reshape(visit.passes, -1, cotangent.shape[1], 1)  # (K, B, C, 1)
        return (passes * shares).reshape(-1, *visit.input.shape[1:])  # (K * B, C, h, w)


def first_equal(taps: Sequence[Tensor], best: Tensor) -> list[Tensor]:
    """Which tap of a window is the first that equals the window's maximum: one mask of bools per tap."""
    masks = [taps[0] == best]
    found = masks[0]
    for tap in taps[1:-1]:
        equal = tap == best
        masks.append(equal & ~found)
        found = found | equal
    return [*masks, ~found] if len(taps) > 1 else masks


def pad_rows(values: Tensor, before: int, after: int, fill: float) -> Tensor:
    return values if before == after == 0 else nn.functional.pad(values, (0, 0, before, after), value=fill)


def share_out(parts: Tensor, cells: Tensor) -> Tensor:
    """Part i takes cells floor(i n / p) to ceil((i + 1) n / p), all alike: (p, 1) and (n,) to (p, n)."""
    first = (parts * cells.shape[0] / parts.shape[0]).floor()
    end = ((parts + 1) * cells.shape[0] / parts.shape[0]).ceil()
    member = ((cells >= first) & (cells < end)).to(cells.dtype)  # (p, n)
    return member / member.sum(1, keepdim=True)
