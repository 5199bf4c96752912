"""Superpixels, and how the cells of a feature map share in each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from skimage.segmentation import slic

from weakseg.types import Rgb

Superpixels = NDArray[np.int32]  # (H, W), 0 ... S - 1, each of them somewhere

COMPACTNESS = 10.0  # of SLIC in CIELAB: colour and place weigh about the same
SLIC_STEPS = 5  # ten change few pixels more, and take twice as long


def find_superpixels(rgb: Rgb, count: int) -> Superpixels:
    """SLIC (Achanta et al., TPAMI 2012); no differences from the paper.

    Args:
        rgb: (H, W, 3) uint8.
        count: About how many.
    """
    found = slic(rgb, n_segments=count, compactness=COMPACTNESS, max_num_iter=SLIC_STEPS, start_label=0)
    return np.unique(found, return_inverse=True)[1].reshape(rgb.shape[:2]).astype(np.int32)  # (H, W)


def share_cells(superpixels: Superpixels, cells_hw: tuple[int, int]) -> sparse.csr_array:
    """How much of each superpixel lies in each cell of a grid that divides the photo evenly.

    Args:
        superpixels: (H, W).
        cells_hw: h', w'. Pixels belong to the cell that holds their centre.
    Returns:
        (S, h' w') float32, sparse, rows sum to 1: times a feature map (h' w', F) it gives the superpixels' means.
    """
    (height, width), (rows, columns) = superpixels.shape, cells_hw
    row = (np.arange(height) * 2 + 1) * rows // (2 * height)  # (H,)
    column = (np.arange(width) * 2 + 1) * columns // (2 * width)  # (W,)
    cell = row[:, None] * columns + column  # (H, W)
    places = superpixels.ravel()  # (H W,)
    weights = (1 / np.bincount(places)).astype(np.float32)[places]  # (H W,)
    shape = (int(places.max()) + 1, rows * columns)
    return sparse.csr_array((weights, (places, cell.ravel())), shape=shape)  # equal places are added up


def spread(scores: NDArray[np.float32], superpixels: Superpixels) -> NDArray[np.float32]:
    """Each superpixel's scores at its pixels: (S, K) to (K, H, W)."""
    return np.ascontiguousarray(np.moveaxis(scores[superpixels], 2, 0))  # (K, H, W)
