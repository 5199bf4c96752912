"""Saliency: how strongly each pixel moves the class score.

Simonyan et al., *Deep inside convolutional networks* (ICLR 2014 workshop), section 3; the course project on saliency
and CRFs takes it as its first step. For class c and the normalised input x,

    M_c(i, j) = max over colours |d S_c / d x(colour, i, j)|,   S_c: the logit

Differences from the paper: none for one class and one view (it takes one crop of the photo, or means over crops). With
``pool_px`` above 1 the map is averaged over squares of that many pixels: K maps of 448 x 448 are 4 MB for five labels,
and whoever smooths them afterwards loses nothing. Maps are divided by their maximum at the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from weakseg.attribution.gradient import Glance, GradientGraph
from weakseg.attribution.graph import GraphSettings, Wanted
from weakseg.attribution.placement import place_cells
from weakseg.card import Method
from weakseg.errors import ModelError
from weakseg.models.grid import Grid
from weakseg.models.tape import INPUT, OUTPUT, Values


@dataclass(frozen=True, slots=True)
class SaliencySettings(GraphSettings):
    """What is decided at export.

    Args:
        pool_px: Maps are averaged over squares of so many pixels of the input, 1 to 32; 1: every pixel for itself.
    """

    method: ClassVar[Method] = "saliency"
    pool_px: int = 1

    def __post_init__(self) -> None:
        GraphSettings.__post_init__(self)  # super() does not work in a class with slots
        if not 1 <= self.pool_px <= 32:
            raise ModelError(f"pool_px = {self.pool_px}: give a whole number from 1 to 32.")


class SaliencyGraph(GradientGraph):
    """|gradient of the score with respect to the input|, maximum over colours."""

    settings_type = SaliencySettings
    settings: SaliencySettings
    guided: ClassVar[bool] = False

    def canvas(self, first: Glance) -> Tensor:
        return first.view if self.settings.pool_px == 1 else self.pool(first.view[:, :1])

    def draw(self, values: Values, view: Tensor, wanted: Wanted, canvas: Tensor) -> Tensor:
        pulled = self.tape.pull_back(values, {OUTPUT: wanted.mix}, [INPUT], guided=self.guided)
        maps = pulled[INPUT].abs().amax(2)  # (B, K, h, w)
        if canvas is view:
            return maps
        size = self.settings.pool_px
        grid = Grid((size, size), ((size - 1) / 2, (size - 1) / 2))
        return place_cells(self.pool(maps), view, grid, canvas)

    def pool(self, maps: Tensor) -> Tensor:
        """Means over squares; what is left over at the right and the bottom is dropped."""
        return nn.functional.avg_pool2d(maps, self.settings.pool_px)
