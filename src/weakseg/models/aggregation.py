"""From class maps to class scores: how a network that is trained on image labels learns where the classes are.

Pinheiro & Collobert, *From image-level to pixel-level labeling with convolutional networks* (CVPR 2015), section 3.2.
With the score s_c(x, y) of class c at each of the N positions of its map:

    average        S_c = 1/N sum s_c                       every position learns alike
    log_sum_exp    S_c = 1/r log( 1/N sum exp(r s_c) )     positions learn in proportion to exp(r s_c)
    maximum        S_c = max s_c                           the best position alone learns

Log-sum-exp lies between the two others: r -> 0 makes it the average, r -> infinity the maximum. Differences from the
paper: none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from weakseg.errors import ModelError

SHARPNESS = 5.0  # r: the paper's


class Average(nn.Module):
    """(B, C, h', w') class maps to (B, C) scores: their means."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps.mean((2, 3))  # (B, C)


class LogSumExp(nn.Module):
    """(B, C, h', w') class maps to (B, C) scores: a smooth maximum, no larger than the true one.

    Args:
        sharpness: The paper's r, above 0.
    Raises:
        ModelError: it is not.
    """

    def __init__(self, sharpness: float = SHARPNESS) -> None:
        super().__init__()
        if not sharpness > 0:
            raise ModelError(f"sharpness = {sharpness}: give a number above 0, such as the paper's {SHARPNESS:g}.")
        self.sharpness = sharpness

    def forward(self, maps: Tensor) -> Tensor:
        peaks = maps.amax((2, 3), keepdim=True)  # (B, C, 1, 1); taken out, so that no exponential overflows
        shares = ((maps - peaks) * self.sharpness).exp().mean((2, 3), keepdim=True)  # (B, C, 1, 1), in (0, 1]
        return (peaks + shares.log() / self.sharpness).flatten(1)  # (B, C)


class Maximum(nn.Module):
    """(B, C, h', w') class maps to (B, C) scores: their maxima."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps.amax((2, 3))  # (B, C)


AGGREGATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "average": Average,
    "log_sum_exp": LogSumExp,
    "maximum": Maximum,
}


def build_aggregation(name: str) -> nn.Module:
    """Raises: ModelError: there is no aggregation of this name."""
    if name not in AGGREGATIONS:
        raise ModelError(f"aggregation = {name!r}: give one of {', '.join(AGGREGATIONS)}.")
    return AGGREGATIONS[name]()
