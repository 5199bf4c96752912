"""GrabCut (Rother, Kolmogorov & Blake 2004) seeded by a class map: the paper's GrabCut-CAM, section 4."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from weakseg.errors import ShapeMismatchError
from weakseg.options import GrabCutEngine, Levels
from weakseg.refine.compiled import native
from weakseg.types import Box, Mask, Rgb

SeedMap = NDArray[np.uint8]  # (H, W) of cv2.GC_BGD, GC_PR_BGD, GC_PR_FGD, GC_FGD

# OpenCV fits five Gaussians to the foreground's colours and five to the background's, and refuses fewer pixels.
_GAUSSIANS = 5

COARSE_PX = 200_000  # undecided pixels at most that ``fast`` cuts all at once: 500 x 375 are cut whole
BAND = 3  # pixels of each coarser photo to both sides of the border that it cuts anew in the finer one


def digitise_map(class_map: NDArray[np.float32], levels: Levels) -> SeedMap:
    """Class map to GrabCut's four levels (paper, section 4.3).

    Below t0 sure background, below t1 probable background, below t2 probable foreground, from t2 on sure foreground.
    Differs from the paper: with t2 = 1 nothing is sure foreground, not even where the map is exactly 1 (its figure 5
    means this: "only probable GrabCut values may appear").

    Args:
        class_map: (H, W) float32 in [0, 1].
        levels: (t0, t1, t2), ascending in [0, 1].
    """
    t0, t1, t2 = levels
    seeds = np.full(class_map.shape, cv2.GC_PR_BGD, np.uint8)
    seeds[class_map < t0] = cv2.GC_BGD
    seeds[class_map >= t1] = cv2.GC_PR_FGD
    if t2 < 1:
        seeds[class_map >= t2] = cv2.GC_FGD
    return seeds


def confine_to_box(seeds: SeedMap, box: Box) -> SeedMap:
    """The same seeds, sure background outside the box."""
    confined = np.full(seeds.shape, cv2.GC_BGD, np.uint8)
    confined[box.slices] = seeds[box.slices]
    return confined


def box_seeds(hw: tuple[int, int], box: Box) -> SeedMap:
    """Naked GrabCut's seeds: probable foreground inside the box, sure background outside (paper, figure 3)."""
    return confine_to_box(np.full(hw, cv2.GC_PR_FGD, np.uint8), box)


def can_cut(seeds: SeedMap) -> bool:
    """Whether there are pixels enough of both kinds for GrabCut's colour models."""
    foreground = int(np.count_nonzero(seeds & 1))  # GC_FGD = 1, GC_PR_FGD = 3
    return min(foreground, seeds.size - foreground) >= _GAUSSIANS


def cut(rgb: Rgb, seeds: SeedMap, *, iterations: int, engine: GrabCutEngine = GrabCutEngine.FAST) -> Mask:
    """Run GrabCut. Deterministic, and the same in any thread; sure seeds stay.

    Differs from the paper: no border matting. ``fast`` computes what OpenCV does, from the same random numbers; where
    many pixels are undecided, it parts object and background on every n-th one, and then on all that are near the
    border so found (src/native/grabcut.h). The colour models do not care about the order of channels, so RGB is passed
    as it is.

    Args:
        rgb: (H, W, 3) uint8.
        seeds: (H, W) uint8 levels; not modified. Where not both kinds have five pixels, they are the answer.
        iterations: Rounds of fitting the colour models and cutting (the paper: 1).
        engine: Without the compiled part, ``fast`` is ``opencv``.
    Returns:
        (H, W) bool, True = object.
    Raises:
        ShapeMismatchError: rgb and seeds differ in H or W.
    """
    if rgb.shape[:2] != seeds.shape:
        raise ShapeMismatchError(f"photo {rgb.shape[:2]} and seeds {seeds.shape} differ")
    if not can_cut(seeds):
        return (seeds & 1).astype(bool)
    rgb, seeds = np.ascontiguousarray(rgb), np.ascontiguousarray(seeds)
    if engine is GrabCutEngine.OPENCV or native is None:
        return _cut_with_opencv(rgb, seeds, iterations)
    return native.cut_photo(rgb, seeds, iterations, COARSE_PX, BAND).astype(bool)


def _cut_with_opencv(rgb: Rgb, seeds: SeedMap, iterations: int) -> Mask:
    """OpenCV's random generator belongs to the thread, so that setting it disturbs no other."""
    cv2.setRNGSeed(0)
    state = seeds.copy()
    background_model, foreground_model = np.zeros((1, 65)), np.zeros((1, 65))
    no_rectangle = (0, 0, 0, 0)
    cv2.grabCut(rgb, state, no_rectangle, background_model, foreground_model, iterations, cv2.GC_INIT_WITH_MASK)
    return (state & 1).astype(bool)
