"""How exactly a dense CRF is computed: on every pixel, or on a grid of some, with borders made out at every pixel.

Of a photo whose kernels reach over many pixels, every second row and column tell nearly all: steps run on that grid;
then each pixel near a change of labels takes the last step by itself. Labels that are nowhere probable are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from weakseg.options import CrfEngineName
from weakseg.refine.densecrf.problem import CrfProblem, Kernels

_MOST_WIDTHS = 2500  # kernel widths across the photo or the range of colours: narrower ones see no neighbour, anyway


@dataclass(frozen=True, slots=True)
class Level:
    """How exact.

    Attributes:
        side: The grid's long side has about this many points; None: it has every pixel.
        reach: Its points are at most this many sigmas of the smoothness kernel apart.
        sparse: A grid whose lattice has more vertices per point is made finer: with narrow kernels points speak
            for themselves only.
        sure: Of two labels: pixels whose logits are this far apart on the grid are not looked at again.
        plausible: Labels with less than this probability everywhere, before the first step, take no part in any.
    """

    side: int | None
    reach: float
    sparse: float
    sure: float
    plausible: float

    def stride(self, problem: CrfProblem) -> int:
        """Every how manieth row and column is on the grid."""
        if self.side is None or not problem.steps:
            return 1
        stride = int(max(problem.logits.shape[1:]) / self.side + 0.5)
        if np.any(problem.kernels.smooth_weight):
            stride = min(stride, int(self.reach * problem.kernels.smooth_sigma_px))
        return max(stride, 1)


LEVELS = {
    CrfEngineName.EXACT: Level(side=None, reach=0, sparse=np.inf, sure=np.inf, plausible=1e-3),
    CrfEngineName.FAST: Level(side=250, reach=0.7, sparse=0.8, sure=np.inf, plausible=0.2),
    CrfEngineName.FASTEST: Level(side=125, reach=1.4, sparse=2.5, sure=6, plausible=0.2),
}


def narrowest_kernels(problem: CrfProblem) -> Kernels:
    """The problem's kernels, none narrower than a 2500th of the photo or of the range of colours."""
    narrowest_px = max(problem.logits.shape[1:]) / _MOST_WIDTHS
    return replace(
        problem.kernels,
        smooth_sigma_px=max(problem.kernels.smooth_sigma_px, narrowest_px),
        colour_sigma_px=max(problem.kernels.colour_sigma_px, narrowest_px),
        colour_rgb=max(problem.kernels.colour_rgb, 255 / _MOST_WIDTHS),
    )
