"""How maps claim pixels: class activation maps each for itself, probabilities of one network against what is left."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from weakseg.card import CrfSettings
from weakseg.refine.bench import Bench
from weakseg.refine.crf import LEAST_SCORE, PosedCrf, pose_crf, pose_probabilities
from weakseg.refine.gaussian import blur_map, smooth_map
from weakseg.types import Maps

Layer = NDArray[np.float32]  # (H, W)
Share = tuple[Layer, Layer]

_TINY = np.float32(1e-12)


class Claims(Protocol):
    """What `weakseg.refine.refine.Refinement` does differently for maps of another kind."""

    def smooth(self, class_map: Layer, sigma: float, photo_hw: tuple[int, int]) -> Layer:
        """The Gaussian, at the map's own size: (h', w') to (h', w')."""
        ...

    def take(self, bench: Bench, class_map: Layer) -> Layer:
        """A map of the photo to the bench, confined to the box if there is one: (h', w') to (Hb, Wb)."""
        ...

    def share(self, layers: Iterable[Layer], labels: int, rest: Callable[[], Layer], /) -> Iterable[Share]:
        """Of each layer, what is cut at the threshold, and what decides where several are above it: the highest wins.

        Args:
            labels: How many layers there are.
            rest: Makes the layer of the map that `remainder` gives.
        """
        ...

    def weights(self, scores: Sequence[float]) -> list[float]:
        """Of each layer where two overlap."""
        ...

    def pose(
        self, values: Maps, scores: Sequence[float], bench: Bench, crf: CrfSettings, threshold: float, /
    ) -> PosedCrf:
        """The CRF over (K, Hb, Wb) layers of the bench."""
        ...


class MapClaims:
    """Maps whose height says where a label is, and whose score says whether it is there at all."""

    def smooth(self, class_map: Layer, sigma: float, photo_hw: tuple[int, int]) -> Layer:
        return smooth_map(class_map, sigma, photo_hw)

    def take(self, bench: Bench, class_map: Layer) -> Layer:
        return bench.take(class_map)

    def share(self, layers: Iterable[Layer], _labels: int, _rest: Callable[[], Layer], /) -> Iterable[Share]:
        return share_alike(layers)

    def weights(self, scores: Sequence[float]) -> list[float]:
        return [max(score, LEAST_SCORE) for score in scores]

    def pose(
        self, values: Maps, scores: Sequence[float], bench: Bench, crf: CrfSettings, threshold: float, /
    ) -> PosedCrf:
        return pose_crf(values, scores, bench.rgb, crf, threshold=threshold, box=bench.box)


class ProbabilityClaims:
    """Probabilities of labels at each pixel, which with those of all that was not asked for (the rest) sum to 1.

    A pixel goes to its most probable label k, if p_k (1 - t) >= rest t: at t = 0.5, if no label that was asked for and
    not the rest is more probable. Scores say nothing more: whatever the network believes is in its probabilities.
    """

    def smooth(self, class_map: Layer, sigma: float, photo_hw: tuple[int, int]) -> Layer:
        return blur_map(class_map, sigma, photo_hw)

    def take(self, bench: Bench, class_map: Layer) -> Layer:
        return bench.take(class_map, stretches=False)

    def share(self, layers: Iterable[Layer], labels: int, rest: Callable[[], Layer], /) -> Iterable[Share]:
        """p_k / (p_k + rest), which is at least t where p_k (1 - t) >= rest t; and p_k."""
        return share_alike(layers) if labels == 1 else _share_against(layers, rest())

    def weights(self, scores: Sequence[float]) -> list[float]:
        return [1.0] * len(scores)

    def pose(
        self, values: Maps, _scores: Sequence[float], bench: Bench, crf: CrfSettings, threshold: float, /
    ) -> PosedCrf:
        return pose_probabilities(values, bench.rgb, crf, threshold=threshold, box=bench.box)


MAPS, PROBABILITIES = MapClaims(), ProbabilityClaims()


def claims_of(*, labels_pixels: bool) -> Claims:
    return PROBABILITIES if labels_pixels else MAPS


def remainder(maps: Maps) -> Layer:
    """(K, h', w') probabilities to that of everything else: (h', w')."""
    return np.asarray(np.maximum(1 - maps.sum(axis=0), 0), np.float32)


def share_alike(layers: Iterable[Layer]) -> Iterator[Share]:
    """One and the same layer is cut and decides."""
    return ((layer, layer) for layer in layers)


def _share_against(layers: Iterable[Layer], rest: Layer) -> Iterator[Share]:
    """Where the rest is next to nothing, all shares are 1: they do not say which label is more probable."""
    return ((layer / np.maximum(layer + rest, _TINY), layer) for layer in layers)
