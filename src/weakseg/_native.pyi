"""The compiled part (src/native); not there where no compiler was."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

def infer_crf(
    logits: NDArray[np.float32],  # (L, H, W)
    rgb: NDArray[np.uint8],  # (H, W, 3)
    smooth_sigma: float,
    colour_sigma: float,
    colour_rgb: float,
    smooth_weights: NDArray[np.float32],  # (L,)
    colour_weights: NDArray[np.float32],  # (L,)
    levels: Sequence[tuple[int, int]],
    plausible: float,
    probs: NDArray[np.float32],  # (L, H, W), zeros
) -> bool:
    """Mean-field inference into ``probs``; see src/native/crf.h. False where logits are not finite."""
