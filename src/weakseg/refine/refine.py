"""Class maps of one photo to one label map: the refinement that was asked for, then one label per pixel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from weakseg.card import Settings
from weakseg.refine.crf import LEAST_SCORE, refine_with_crf
from weakseg.refine.densecrf.reference import infer_with_pydensecrf
from weakseg.refine.gaussian import smooth_map
from weakseg.refine.grabcut import box_seeds, can_cut, confine_to_box, cut, digitise_map
from weakseg.refine.threshold import threshold_map
from weakseg.types import Box, Geometry, LabelMap, Maps, Mask, Rgb


@dataclass(frozen=True, slots=True)
class Refined:
    label_map: LabelMap  # (H, W), 0 = background, k = k-th map
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bench:
    """The part of a photo that is worked on, at the size at which it is worked on."""

    rgb: Rgb  # (Hb, Wb, 3)
    geometry: Geometry  # of the whole photo
    region: Box  # the part, in the photo
    box: Box | None  # the object's box, in (Hb, Wb)

    @classmethod
    def lay_out(
        cls, rgb: Rgb, geometry: Geometry, box: Box | None, *, context: float | None, side: int | None
    ) -> Bench:
        """Cut out the box with some context (None: take the whole photo); shrink to ``side`` (None: keep the size)."""
        region = geometry.whole
        if box is not None and context is not None:
            region = box.grown(context, geometry.photo_hw)
        part = rgb[region.slices]
        part = part if side is None else shrink_to_side(part, side)
        hw = (part.shape[0], part.shape[1])
        work_box = box.relative_to(region).scaled(from_hw=(region.height, region.width), to_hw=hw) if box else None
        return cls(part, geometry, region, work_box)

    @property
    def hw(self) -> tuple[int, int]:
        return self.rgb.shape[0], self.rgb.shape[1]

    def take(self, class_map: NDArray[np.float32]) -> NDArray[np.float32]:
        """A class map of the whole photo to this part: (h', w') to (Hb, Wb); inside a box from 0 to 1."""
        restored = self.geometry.restore(class_map, self.region, self.hw)
        return restored if self.box is None else stretch_in_box(restored, self.box)

    def give_back(self, label_map: LabelMap, count: int, box: Box | None) -> LabelMap:
        """Labels of this part to the photo: (Hb, Wb) to (H, W), 0 outside the box (in photo pixels)."""
        grown = grow_labels(label_map, count, (self.region.height, self.region.width))
        if box is None:
            return grown
        labels = np.zeros(self.geometry.photo_hw, np.uint8)
        labels[box.slices] = grown[box.relative_to(self.region).slices]
        return labels  # (H, W)


def refine_maps(
    rgb: Rgb,
    maps: Maps,
    geometry: Geometry,
    settings: Settings,
    names: Sequence[str],
    scores: Sequence[float],
    *,
    box: Box | None,
    context: float | None,
    side: int,
) -> Refined:
    """Class maps to one label per pixel: Gaussian, CRF and GrabCut, as far as ``settings.refine`` says, in this order.

    Without a CRF each map is refined on its own, as the GrabCut-CAM paper does (section 5.2); where masks overlap, the
    higher map x score wins. A CRF weighs all labels at once, scores included, and the most probable one wins; or, with
    GrabCut after it, each label's probability is cut on its own, and the higher probability wins.

    Args:
        rgb: (H, W, 3) uint8.
        maps: (K, h', w') float32 in [0, 1].
        geometry: Brings the maps to the photo.
        settings: What to do.
        names: (K) label names, for the warnings.
        scores: (K) in [0, 1]: a label that the network does not believe in takes no pixel from one that it does.
        box: Everything outside is background, and maps are stretched to [0, 1] inside.
        context: CRF and GrabCut see this much around the box, as a fraction of its sides; None: the whole photo.
        side: They run with a long side of at most this many pixels; masks are scaled back up.
    """
    refine = settings.refine
    bench = Bench.lay_out(rgb, geometry, box, context=context, side=side if refine.has_crf or refine.cuts else None)
    smoothed = _smooth(maps, settings.sigma, geometry)
    values = (bench.take(class_map) for class_map in smoothed)  # (Hb, Wb) each, one at a time
    if settings.crf is None:
        weights = [max(score, LEAST_SCORE) for score in scores]
        label_map, warnings = _overlay(bench, values, weights, settings, names)
    else:
        probs = _infer(bench, np.stack(list(values)), scores, settings)  # (K + 1, Hb, Wb)
        if refine.cuts:
            label_map, warnings = _overlay(bench, probs[1:], [1.0] * len(names), settings, names)
        else:
            label_map, warnings = probs.argmax(axis=0).astype(np.uint8), ()
    return Refined(bench.give_back(label_map, len(maps), box), warnings)


def cut_box(rgb: Rgb, geometry: Geometry, box: Box, *, iterations: int, context: float | None, side: int) -> Refined:
    """Naked GrabCut: no class map, the box alone (paper, section 3). The label map has the values 0 and 1."""
    bench = Bench.lay_out(rgb, geometry, box, context=context, side=side)
    assert bench.box is not None
    seeds = box_seeds(bench.hw, bench.box)
    if can_cut(seeds):
        return Refined(bench.give_back(cut(bench.rgb, seeds, iterations=iterations).astype(np.uint8), 1, box), ())
    warning = "GrabCut needs some pixels outside the box to learn the background; the whole box is returned."
    return Refined(bench.give_back((seeds & 1).astype(np.uint8), 1, box), (warning,))


def stretch_in_box(class_map: NDArray[np.float32], box: Box) -> NDArray[np.float32]:
    """(H, W): the map with 0 outside the box, and stretched from 0 to 1 inside. A constant map becomes 1 inside."""
    inside = class_map[box.slices]
    lowest, highest = float(inside.min()), float(inside.max())
    stretched = np.zeros_like(class_map)
    stretched[box.slices] = (inside - lowest) / (highest - lowest) if highest > lowest else 1
    return stretched  # (H, W)


def shrink_to_side(rgb: Rgb, side: int) -> Rgb:
    """The photo with its long side at most ``side`` pixels, areas averaged; the photo itself if it is small enough."""
    height, width = rgb.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return rgb
    size_wh = (max(round(width * scale), 1), max(round(height * scale), 1))
    return cv2.resize(rgb, size_wh, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def grow_labels(label_map: LabelMap, count: int, hw: tuple[int, int]) -> LabelMap:
    """A label map at another size: each label's mask is resized bilinearly, so that borders stay smooth."""
    if label_map.shape == hw:
        return label_map
    grown = np.zeros(hw, np.uint8)
    for value in range(1, count + 1):
        share = cv2.resize((label_map == value).astype(np.float32), hw[::-1], interpolation=cv2.INTER_LINEAR)
        grown[share >= 0.5] = value
    return grown  # (H, W)


def _smooth(maps: Maps, sigma: float | None, geometry: Geometry) -> Iterable[NDArray[np.float32]]:
    return maps if sigma is None else (smooth_map(class_map, sigma, geometry.photo_hw) for class_map in maps)


def _infer(bench: Bench, values: Maps, scores: Sequence[float], settings: Settings) -> NDArray[np.float32]:
    """(K, Hb, Wb) maps to (K + 1, Hb, Wb) probabilities; row 0 is background."""
    assert settings.crf is not None
    threshold = settings.threshold or 0.0
    return refine_with_crf(
        values, scores, bench.rgb, settings.crf, threshold=threshold, engine=infer_with_pydensecrf, box=bench.box
    )


def _overlay(
    bench: Bench,
    layers: Iterable[NDArray[np.float32]],
    weights: Sequence[float],
    settings: Settings,
    names: Sequence[str],
) -> tuple[LabelMap, tuple[str, ...]]:
    """Each layer's mask on its own; where masks overlap, the higher value x weight wins. And the warnings.

    Args:
        layers: K of (Hb, Wb) in [0, 1]: maps, or a CRF's probabilities.
        weights: (K).
    """
    label_map = np.zeros(bench.hw, np.uint8)
    highest = np.zeros(bench.hw, np.float32)
    warnings: list[str] = []
    for value, (layer, weight, name) in enumerate(zip(layers, weights, names, strict=True), start=1):
        mask, warning = _cut_one(bench, layer, settings)
        warnings += [f"{name}: {warning}"] if warning else []
        claim = layer * np.float32(weight)  # (Hb, Wb)
        wins = mask & (claim >= highest)
        label_map[wins] = value
        highest[wins] = claim[wins]
    return label_map, tuple(warnings)


def _cut_one(bench: Bench, layer: NDArray[np.float32], settings: Settings) -> tuple[Mask, str | None]:
    if settings.levels is None:
        return threshold_map(layer, settings.threshold or 0.0), None
    seeds = digitise_map(layer, settings.levels)
    if bench.box is not None:
        seeds = confine_to_box(seeds, bench.box)
    if can_cut(seeds):
        return cut(bench.rgb, seeds, iterations=settings.iterations or 1), None
    what = "map" if settings.crf is None else "CRF's probability"
    return (seeds & 1).astype(
        bool
    ), f"GrabCut had no foreground or no background to learn from; the {what} is cut at t1."
