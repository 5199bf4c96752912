"""The simplest mask: map values from a threshold on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from weakseg.types import Mask


def threshold_map(class_map: NDArray[np.float32], threshold: float) -> Mask:
    """(H, W) bool: where the map is at least ``threshold`` and not zero.

    The paper calls this technique "CAM" (section 5.1). A map that is zero everywhere gives an empty mask at any
    threshold.
    """
    return class_map >= threshold if threshold > 0 else class_map > 0
