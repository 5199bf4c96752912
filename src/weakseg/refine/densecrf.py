"""pydensecrf, the reference code of Kraehenbuehl & Koltun (NIPS 2011), as a `CrfEngine`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydensecrf.densecrf import DenseCRF2D

from weakseg.errors import ShapeMismatchError
from weakseg.refine.crf import Kernels
from weakseg.types import Rgb

_MOST_WIDTHS = (
    2500  # kernel widths across the photo, or the range of colours: the lattice counts in 16 bits, and would crash
)


def infer_densecrf(logits: NDArray[np.float32], rgb: Rgb, kernels: Kernels, *, steps: int) -> NDArray[np.float32]:
    """See `weakseg.refine.crf.CrfEngine`.

    Kernels are normalised symmetrically, n_p k(p, q) n_q with n = 1 / sqrt(sum_q k + 1e-20), and include each pixel's
    own message, as in the authors' code (the paper leaves it out). Sums over pixels run on a permutohedral lattice:
    fast, and approximate; tests/unit/refine/test_densecrf.py measures how much. Kernels narrower than a 2500th of the
    photo or of the range of colours (a fifth of a pixel at 500) are taken as wide as that.

    Raises:
        ShapeMismatchError: logits and rgb differ in H or W.
    """
    labels, height, width = logits.shape
    if rgb.shape[:2] != (height, width):
        raise ShapeMismatchError(f"logits {logits.shape[1:]} and photo {rgb.shape[:2]} differ")
    crf = DenseCRF2D(width, height, labels)
    crf.setUnaryEnergy(np.ascontiguousarray(-logits.reshape(labels, -1)))  # (L, H * W)
    narrowest_px = max(height, width) / _MOST_WIDTHS
    if kernels.smooth_weight > 0:
        crf.addPairwiseGaussian(sxy=max(kernels.smooth_sigma_px, narrowest_px), compat=kernels.smooth_weight)
    if kernels.colour_weight > 0:
        crf.addPairwiseBilateral(
            sxy=max(kernels.colour_sigma_px, narrowest_px),
            srgb=max(kernels.colour_rgb, 255 / _MOST_WIDTHS),
            rgbim=np.ascontiguousarray(rgb),
            compat=kernels.colour_weight,
        )
    return np.array(crf.inference(steps), np.float32).reshape(logits.shape)  # (L, H, W)
