"""What a dense CRF engine is given and what it returns (Kraehenbuehl & Koltun, NIPS 2011)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from weakseg.card import CrfSettings
from weakseg.errors import CrfInputError, ShapeMismatchError
from weakseg.types import Rgb

Weight = (
    float | tuple[float, ...]
)  # of all labels, or one of each: Potts models, some labels holding on more than others


_MOST_WEIGHT = 1e30  # messages of larger ones may be too large for float32


@dataclass(frozen=True, slots=True)
class Kernels:
    """The two kernels of the energy (equation 3), in pixels and grey levels of 0 to 255.

    Smoothness: ``smooth_weight`` exp(-|p - q|^2 / 2 smooth_sigma_px^2) for pixels at p and q. Appearance:
    ``colour_weight`` exp(-|p - q|^2 / 2 colour_sigma_px^2 - |I_p - I_q|^2 / 2 colour_rgb^2). A weight of 0 switches one
    off.
    """

    smooth_sigma_px: float
    smooth_weight: Weight
    colour_sigma_px: float
    colour_rgb: float
    colour_weight: Weight

    @classmethod
    def at_size(cls, settings: CrfSettings, hw: tuple[int, int]) -> Kernels:
        """The kernels for a photo of H x W pixels; settings are relative to its long side."""
        long_side_px = max(hw)
        return cls(
            settings.smooth_sigma * long_side_px,
            settings.smooth_weight,
            settings.colour_sigma * long_side_px,
            settings.colour_rgb,
            settings.colour_weight,
        )


@dataclass(frozen=True, slots=True)
class CrfProblem:
    """One photo's energy, and how often to update.

    Attributes:
        logits: (L, H, W) float32, finite: minus the unary energies, up to a constant per pixel. Never modified.
        rgb: (H, W, 3) uint8. Never modified.
        steps: Mean-field updates after the first estimate, softmax(logits).
    Raises:
        ShapeMismatchError: logits and rgb differ in H or W, or a weight per label is not one per label.
        CrfInputError: no pixel, a sigma that is not above 0, a weight below 0 or above 1e30, or steps below 0. Logits
            that are not finite are found by the engines.
    """

    logits: NDArray[np.float32]
    rgb: Rgb
    kernels: Kernels
    steps: int

    def __post_init__(self) -> None:
        if self.logits.ndim != 3 or self.rgb.shape != (*self.logits.shape[1:], 3):
            raise ShapeMismatchError(f"logits {self.logits.shape} and photo {self.rgb.shape} differ")
        if not self.logits.size or self.steps < 0:
            raise CrfInputError(f"logits {self.logits.shape} and {self.steps} steps are no problem to solve")
        kernels = self.kernels
        for sigma in (kernels.smooth_sigma_px, kernels.colour_sigma_px, kernels.colour_rgb):
            if not 0 < sigma < np.inf:
                raise CrfInputError(f"a kernel cannot be {sigma} wide")
        for weight in (kernels.smooth_weight, kernels.colour_weight):
            self._check_weight(weight)

    def _check_weight(self, weight: Weight) -> None:
        each = np.asarray(weight, float)
        if each.ndim and each.shape != self.logits.shape[:1]:
            raise ShapeMismatchError(f"{len(each)} weights for {len(self.logits)} labels")
        if not ((each >= 0) & (each <= _MOST_WEIGHT)).all():  # and no NaN
            raise CrfInputError(f"a kernel cannot weigh {weight}")


class CrfEngine(Protocol):
    """Mean-field inference of fully connected CRFs with Potts models. Safe to call from several threads."""

    def __call__(self, problems: Sequence[CrfProblem]) -> list[NDArray[np.float32]]:
        """Probability of each label at each pixel, of a batch: sizes, labels and kernels may differ.

        Kernels are normalised symmetrically, n_p k(p, q) n_q with n = 1 / sqrt(sum_q k + 1e-20), and include each
        pixel's own message, as in the authors' code (the paper leaves it out).

        Returns:
            (L, H, W) float32 per problem, sums to 1 over L.
        Raises:
            CrfInputError: logits that are not finite.
        """
