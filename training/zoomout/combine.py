"""Superpixel scores and guided-backprop maps to one map per class, and maps to labels.

"ZOF with GBP": Shimoda & Yanai, MIRU 2016, where the slides do not say how the two are combined. Here by product or by
mean, whichever is better on the photos that the choice is made on.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from training.zoomout.superpixels import Superpixels, spread
from weakseg.card import CrfSettings
from weakseg.options import CrfEngineName
from weakseg.refine.crf import refine_with_crf
from weakseg.refine.densecrf.engines import open_engine
from weakseg.refine.gaussian import smooth_map
from weakseg.types import Geometry, LabelMap, Maps, Rgb

GUIDED_SIGMA = 0.04  # of the Gaussian over guided maps, a fraction of the photo's long side


class Way(StrEnum):
    """How a class's map is made."""

    ZOF = "zof"
    GBP = "gbp"
    PRODUCT = "product"
    MEAN = "mean"


@dataclass(frozen=True, slots=True)
class Cut:
    """How maps become labels."""

    threshold: float
    crf: CrfSettings | None = None


def stretch(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each class's scores in a photo from 0 to 1, its lowest to its highest: (S, K) to (S, K)."""
    low, high = scores.min(axis=0), scores.max(axis=0)  # (K,)
    return np.asarray((scores - low) / np.maximum(high - low, 1e-6), np.float32)


def combine(scores: NDArray[np.float32], superpixels: Superpixels, guided: Maps, way: Way) -> Maps:
    """One map per class, each with the maximum 1 unless it is 0 everywhere.

    Args:
        scores: (S, K) of the superpixels.
        superpixels: (H, W).
        guided: (K, h', w') >= 0, of the whole photo.
    Returns:
        (K, H, W) float32 in [0, 1].
    """
    forward = spread(stretch(scores), superpixels)  # (K, H, W)
    if way is Way.ZOF:
        return forward
    backward = _bring_to_photo(guided, (superpixels.shape[0], superpixels.shape[1]))  # (K, H, W)
    if way is Way.GBP:
        return backward
    return _scale(forward * backward if way is Way.PRODUCT else forward + backward)


def label(maps: Maps, rgb: Rgb, cut: Cut) -> LabelMap:
    """(K, H, W) maps to (H, W) labels: 0 where no map reaches the threshold, else k + 1 of the highest map."""
    if cut.crf is not None:
        even = [1.0] * len(maps)  # no class is believed in more than another
        probs = refine_with_crf(
            maps, even, rgb, cut.crf, threshold=cut.threshold, engine=open_engine(CrfEngineName.EXACT)
        )
        return probs.argmax(axis=0).astype(np.uint8)  # (H, W)
    claims = maps.max(axis=0)  # (H, W)
    return np.where((claims >= cut.threshold) & (claims > 0), maps.argmax(axis=0) + 1, 0).astype(np.uint8)


def _bring_to_photo(guided: Maps, hw: tuple[int, int]) -> Maps:
    smoothed = [smooth_map(class_map, GUIDED_SIGMA, hw) for class_map in guided]
    return _scale(np.stack([Geometry(hw).restore(class_map) for class_map in smoothed]))  # (K, H, W)


def _scale(maps: Maps) -> Maps:
    highest = maps.max(axis=(1, 2), keepdims=True)  # (K, 1, 1)
    return np.divide(maps, highest, out=np.zeros_like(maps), where=highest > 0)
