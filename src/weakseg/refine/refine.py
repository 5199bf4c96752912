"""Class maps of one photo to one label map: the refinement that was asked for, then one label per pixel."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from weakseg.card import Settings, Sides
from weakseg.options import GrabCutEngine
from weakseg.refine.bench import Bench
from weakseg.refine.claims import MAPS, Claims, Share, remainder, share_alike
from weakseg.refine.crf import PosedCrf, find_engine
from weakseg.refine.densecrf.problem import CrfProblem
from weakseg.refine.grabcut import SeedMap, box_seeds, can_cut, confine_to_box, cut, digitise_map
from weakseg.refine.guided import filter_map
from weakseg.refine.threshold import threshold_map
from weakseg.types import Box, Geometry, LabelMap, Maps, Mask, Rgb


@dataclass(frozen=True, slots=True)
class Refined:
    label_map: LabelMap  # (H, W), 0 = background, k = k-th map
    warnings: tuple[str, ...]


class Refinement:
    """Class maps to one label per pixel: the steps that ``settings.refine`` names, in their order.

    Without a CRF each map is refined on its own, as the GrabCut-CAM paper does (section 5.2); where masks overlap, the
    higher map x score wins. A CRF weighs all labels at once, scores included, and the most probable one wins; or, with
    GrabCut after it, each label's probability is cut on its own, and the higher probability wins.

    Probabilities of a network that learned masks compete otherwise: see `weakseg.refine.claims`.

    In two halves, before the CRF and after it, so that the CRFs of a batch may be solved together.

    Args:
        rgb: (H, W, 3) uint8; smaller where the photo was decoded smaller, then without a box.
        maps: (K, h', w') float32 in [0, 1].
        geometry: Brings the maps to the photo.
        settings: What to do.
        names: (K) label names, for the warnings.
        scores: (K) in [0, 1]: a label that the network does not believe in takes no pixel from one that it does.
        box: Everything outside is background, and maps are stretched to [0, 1] inside.
        context: Every step but the Gaussian sees this much around the box, as a fraction of its sides; None: the whole
            photo.
        sides: The sizes at which steps run; masks are scaled back up.
        claims: What kind of maps they are.

    Attributes:
        restoring_s: Seconds that went, so far, into bringing the maps to the photo.
    """

    def __init__(
        self,
        rgb: Rgb,
        maps: Maps,
        geometry: Geometry,
        settings: Settings,
        names: Sequence[str],
        scores: Sequence[float],
        *,
        box: Box | None,
        context: float | None,
        sides: Sides,
        claims: Claims = MAPS,
    ) -> None:
        self._settings, self._names, self._scores, self._box = settings, names, scores, box
        self._claims = claims
        self.restoring_s = 0.0
        lay_out = partial(Bench.lay_out, rgb, geometry, box, context=context)
        soft_side, cut_side = _choose_sides(settings, sides)
        self._bench = lay_out(side=soft_side or cut_side)
        self._cut_bench = self._bench if cut_side is None or soft_side in (None, cut_side) else lay_out(side=cut_side)
        self._layers = (self._make_layer(class_map, geometry) for class_map in maps)  # K at once may not fit in memory
        self._make_rest = lambda: self._make_layer(remainder(maps), geometry)  # every step is linear
        self._posed: PosedCrf | None = None
        if settings.crf is not None:
            values = np.stack(list(self._layers))  # (K, Hb, Wb)
            threshold = settings.threshold or 0.0
            self._posed = claims.pose(values, scores, self._bench, settings.crf, threshold)

    @property
    def problem(self) -> CrfProblem | None:
        """The CRF to solve, if there is one."""
        return self._posed.problem if self._posed else None

    def solve(self, device: str = "cpu") -> NDArray[np.float32] | None:
        """The solution of the problem, (L, Hb, Wb), by the engine that the settings name; None without a CRF."""
        if self._posed is None or self._settings.crf is None:
            return None
        (solution,) = find_engine(self._settings.crf.engine, device)([self._posed.problem])
        return solution

    def finish(self, solution: NDArray[np.float32] | None) -> Refined:
        """The second half: labels of the whole photo, from the solution of the problem."""
        label_map, warnings = self._label(solution)
        bench = self._cut_bench if self._settings.refine.cuts else self._bench
        return Refined(bench.give_back(label_map, len(self._names), self._box), warnings)

    def _make_layer(self, class_map: NDArray[np.float32], geometry: Geometry) -> NDArray[np.float32]:
        """(h', w') to (Hb, Wb)."""
        settings, bench, smoothed = self._settings, self._bench, class_map
        if settings.sigma is not None:
            smoothed = self._claims.smooth(class_map, settings.sigma, geometry.photo_hw)  # (h', w')
        started = time.perf_counter()
        layer = self._claims.take(bench, smoothed)  # (Hb, Wb)
        self.restoring_s += time.perf_counter() - started
        if settings.guided is None:
            return layer
        return filter_map(layer, bench.rgb, radius=settings.guided.radius, eps=settings.guided.eps)

    def _label(self, solution: NDArray[np.float32] | None) -> tuple[LabelMap, tuple[str, ...]]:
        """(Hb, Wb) labels on the bench of the last step, and warnings."""
        if self._posed is None or solution is None:
            shares = self._claims.share(self._layers, len(self._names), self._make_rest)
            return self._overlay(shares, self._claims.weights(self._scores))
        probs = self._posed.spread(solution)  # (K + 1, Hb, Wb)
        if self._settings.refine.cuts:
            return self._overlay(share_alike(probs[1:]), [1.0] * len(self._names))
        return _most_probable(probs), ()

    def _overlay(self, shares: Iterable[Share], weights: Sequence[float]) -> tuple[LabelMap, tuple[str, ...]]:
        """Each layer's mask on its own; where masks overlap, the higher value x weight wins. And the warnings.

        Args:
            shares: K of (Hb, Wb) in [0, 1]: maps, probabilities, or those of a CRF. What is cut, and what decides.
            weights: (K).
        """
        label_map = np.zeros(self._cut_bench.hw, np.uint8)
        highest = np.zeros(self._cut_bench.hw, np.float32)
        warnings: list[str] = []
        of_labels = zip(shares, weights, self._names, strict=True)
        for value, ((taken, deciding), weight, name) in enumerate(of_labels, start=1):
            layer = self._cut_bench.take_over(taken)  # (Hc, Wc)
            mask, warning = self._cut_one(layer)
            warnings += [f"{name}: {warning}"] if warning else []
            if len(self._names) == 1:
                return mask.view(np.uint8), tuple(warnings)
            decides = layer if deciding is taken else self._cut_bench.take_over(deciding)
            claim = decides * np.float32(weight)  # (Hc, Wc)
            wins = mask & (claim >= highest)
            np.copyto(label_map, value, where=wins)
            np.copyto(highest, claim, where=wins)
        return label_map, tuple(warnings)

    def _cut_one(self, layer: NDArray[np.float32]) -> tuple[Mask, str | None]:
        settings, bench = self._settings, self._cut_bench
        if settings.levels is None:
            return threshold_map(layer, settings.threshold or 0.0), None
        seeds = digitise_map(layer, settings.levels)
        if bench.box is not None:
            seeds = confine_to_box(seeds, bench.box)
        if can_cut(seeds):
            return _cut(bench.rgb, seeds, settings), None
        what = "map" if settings.crf is None else "CRF's probability"
        return (seeds & 1).astype(
            bool
        ), f"GrabCut had no foreground or no background to learn from; the {what} is cut at t1."


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
    sides: Sides,
    claims: Claims = MAPS,
) -> Refined:
    """One photo's refinement at one go; see `Refinement`."""
    refinement = Refinement(
        rgb, maps, geometry, settings, names, scores, box=box, context=context, sides=sides, claims=claims
    )
    return refinement.finish(refinement.solve())


def cut_box(
    rgb: Rgb, geometry: Geometry, box: Box, settings: Settings, *, context: float | None, sides: Sides
) -> Refined:
    """Naked GrabCut: no class map, the box alone (paper, section 3). The label map has the values 0 and 1."""
    bench = Bench.lay_out(rgb, geometry, box, context=context, side=sides.grabcut)
    assert bench.box is not None
    seeds = box_seeds(bench.hw, bench.box)
    if can_cut(seeds):
        return Refined(bench.give_back(_cut(bench.rgb, seeds, settings).astype(np.uint8), 1, box), ())
    warning = "GrabCut needs some pixels outside the box to learn the background; the whole box is returned."
    return Refined(bench.give_back((seeds & 1).astype(np.uint8), 1, box), (warning,))


def _most_probable(probs: NDArray[np.float32]) -> LabelMap:
    """(L, H, W) to (H, W); of equals the first. NumPy's argmax takes ten times as long over two rows."""
    if len(probs) == 2:
        return np.asarray(probs[1] > probs[0], np.uint8)
    return np.asarray(probs.argmax(axis=0), np.uint8)


def _cut(rgb: Rgb, seeds: SeedMap, settings: Settings) -> Mask:
    engine = settings.grabcut_engine or GrabCutEngine.FAST
    return cut(rgb, seeds, iterations=settings.iterations or 1, engine=engine)


def _choose_sides(settings: Settings, sides: Sides) -> tuple[int | None, int | None]:
    """Of the guided filter or CRF, and of GrabCut; None for a step that does not run."""
    refine = settings.refine
    soft_side = sides.crf if refine.has_crf else sides.guided if refine.guides else None
    return soft_side, sides.grabcut if refine.cuts else None
