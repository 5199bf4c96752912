"""pydensecrf, the code of Kraehenbuehl & Koltun (NIPS 2011), as a `CrfEngine`: the reference of the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydensecrf.densecrf import DenseCRF2D

from weakseg.errors import CrfInputError
from weakseg.refine.densecrf.levels import narrowest_kernels
from weakseg.refine.densecrf.problem import CrfProblem, Weight


def infer_with_pydensecrf(problems: Sequence[CrfProblem]) -> list[NDArray[np.float32]]:
    """See `weakseg.refine.densecrf.problem.CrfEngine`. One photo after the other; it holds the interpreter's lock.

    Sums over pixels run on a permutohedral lattice: fast, and approximate; tests/unit/refine/densecrf/test_reference.py
    measures how much. Kernels narrower than a 2500th of the photo or of the range of colours (a fifth of a pixel at
    500) are taken as wide as that.
    """
    return [_infer(problem) for problem in problems]


def _infer(problem: CrfProblem) -> NDArray[np.float32]:
    logits, kernels = problem.logits, narrowest_kernels(problem)  # its lattice counts in 16 bits, and would crash
    labels, height, width = logits.shape
    if not np.isfinite(logits).all():
        raise CrfInputError("logits are not finite")
    crf = DenseCRF2D(width, height, labels)
    crf.setUnaryEnergy(np.ascontiguousarray(-logits.reshape(labels, -1)))  # (L, H * W)
    if np.any(kernels.smooth_weight):
        crf.addPairwiseGaussian(sxy=kernels.smooth_sigma_px, compat=_compatibility(kernels.smooth_weight))
    if np.any(kernels.colour_weight):
        crf.addPairwiseBilateral(
            sxy=kernels.colour_sigma_px,
            srgb=kernels.colour_rgb,
            rgbim=np.ascontiguousarray(problem.rgb),
            compat=_compatibility(kernels.colour_weight),
        )
    return np.array(crf.inference(problem.steps), np.float32).reshape(logits.shape)  # (L, H, W)


def _compatibility(weight: Weight) -> float | NDArray[np.float32]:
    """What it adds to energies: for one number it turns the sign itself, for one per label it does not."""
    return -np.array(weight, np.float32) if isinstance(weight, tuple) else weight  # (L,)
