"""The compiled part (src/native); not there where no compiler was."""

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
    steps: int,
    stride: int,
    sparse: float,
    plausible: float,
    sure: float,
    probs: NDArray[np.float32],  # (L, H, W), zeros
) -> bool:
    """Mean-field inference into ``probs``; see src/native/crf.h. False where logits are not finite."""

def cut_photo(
    rgb: NDArray[np.uint8],  # (H, W, 3)
    seeds: NDArray[np.uint8],  # (H, W) of cv2.GC_*
    iterations: int,
    coarse_px: int,
    band: int,
) -> NDArray[np.uint8]:  # (H, W) of 0 and 1
    """GrabCut, coarse to fine; see src/native/grabcut.h."""

def explain_seeds(
    rgb: NDArray[np.uint8],  # (H, W, 3)
    seeds: NDArray[np.uint8],  # (H, W), both sides
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:  # (2, 65), (2, H, W)
    """Background's and object's Gaussians, in OpenCV's order, and each pixel's cost under both. For tests."""

def cut_grid(
    excess: NDArray[np.int32],  # (H, W)
    prices: NDArray[np.int32],  # (4, H, W): to the right, down left, down, down right
) -> tuple[NDArray[np.uint8], int]:  # (H, W) of 0 and 1, 1: the source's side
    """The least cut of a grid, and its cost; see src/native/maxflow.h. For tests."""
