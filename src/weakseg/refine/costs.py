"""What each step of refinement costs on this machine: the ground on which refine=auto chooses."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from weakseg.card import ModelCard, Settings, Sides
from weakseg.options import Options, Refine
from weakseg.refine.bench import grow_labels, shrink_to_side
from weakseg.refine.refine import Refinement
from weakseg.types import Box, Geometry, Maps, Rgb
from weakseg.work import is_installed

_RUNS = 3  # the quickest counts
_ENOUGH_MS = 15.0  # what takes longer runs once: the start stays short
_LARGEST_SIDE = 320  # larger sides are extrapolated
_FRAME_SIDES = 1100, 2500  # of photos: the larger one does not fit into a core's cache, as large photos do not
_MANY_LABELS = 2
_MAP_CELLS = 28
_LEVELS = (0.25, 0.5, 0.8)


@dataclass(frozen=True, slots=True)
class Work:
    """How much there is to refine."""

    region_hw: tuple[int, int]  # of the photo, or of the box with its context
    labels: int  # K


@dataclass(frozen=True, slots=True)
class Cost:
    """Milliseconds, linear in pixels and in labels: (base + per_px px) (1 + per_label (K - 1))."""

    base_ms: float
    per_px_ms: float
    per_label: float = 0.0

    def at(self, px: float, labels: int) -> float:
        return (self.base_ms + self.per_px_ms * px) * (1 + self.per_label * (labels - 1))


@dataclass(frozen=True, slots=True)
class Costs:
    """Of a card's refinements.

    Attributes:
        parts: Settings of one step alone to its cost, in pixels of the size at which it runs.
        frame: Of shrinking the photo and growing the labels, in pixels of the photo's region.
    """

    sides: Sides
    parts: Mapping[Settings, Cost]
    frame: Cost

    def estimate_ms(self, settings: Settings, work: Work) -> float:
        """What a refinement will take: the sum of its steps.

        Args:
            settings: Of the card's rankings.
        """
        return self._frame_ms(settings.refine, work) + sum(
            self.parts[part].at(_work_px(part.refine, work, self.sides), work.labels) for part in _take_apart(settings)
        )

    def _frame_ms(self, refine: Refine, work: Work) -> float:
        height, width = work.region_hw
        shrinks = _work_px(refine, work, self.sides) < height * width
        return self.frame.at(height * width, work.labels) if shrinks else 0.0


def measure_costs(card: ModelCard, device: str = "cpu") -> Costs:
    """Run every step of the card's rankings on a drawn photo, at two sizes. Takes half a second, whatever the sides.

    Args:
        device: Where CRFs are solved: "cpu" or "cuda:N".
    """
    rankings = card.ranking(Options()), card.ranking(Options(box=Box(0, 0, 1, 1)))
    parts = {part for ranking in rankings for settings in ranking for part in _take_apart(settings)}
    parts = {part for part in parts if is_installed(part)}
    sides = card.sides
    costs = {part: _measure_part(part, _side_of(part.refine, sides) or _LARGEST_SIDE, device) for part in parts}
    return Costs(sides, costs, _measure_frame(min(max(sides), _LARGEST_SIDE)))


def _take_apart(settings: Settings) -> list[Settings]:
    """One Settings per step, equal where the costs are. A Gaussian before another step costs next to nothing."""
    parts = []
    if settings.guided is not None:
        parts.append(Settings(refine=Refine.GUIDED, guided=settings.guided, threshold=0.5))
    if settings.crf is not None:
        parts.append(Settings(refine=Refine.CRF, crf=settings.crf, threshold=0.5))
    if settings.refine.cuts:
        engine, iterations = settings.grabcut_engine, settings.iterations
        parts.append(Settings(refine=Refine.GRABCUT, grabcut_engine=engine, levels=_LEVELS, iterations=iterations))
    return parts or [Settings(refine=settings.refine, sigma=settings.sigma, threshold=0.5)]


def _side_of(refine: Refine, sides: Sides) -> int | None:
    """The largest long side at which one of the steps runs; None: the photo's own size."""
    runs = (refine.guides, refine.has_crf, refine.cuts)
    return max((side for side, is_used in zip(sides, runs, strict=True) if is_used), default=None)


def _work_px(refine: Refine, work: Work, sides: Sides) -> float:
    height, width = work.region_hw
    side = _side_of(refine, sides) or math.inf
    return height * width * min(1.0, side / max(height, width)) ** 2


def _measure_part(part: Settings, side: int, device: str) -> Cost:
    large, small = _draw_photo(min(side, _LARGEST_SIDE)), _draw_photo(min(side, _LARGEST_SIDE) // 2)
    measure_ms = _measure_ms if device == "cpu" else _measure_elapsed_ms
    large_ms, small_ms, many_ms = (
        measure_ms(_refine, rgb, part, labels, device)
        for rgb, labels in ((large, 1), (small, 1), (large, _MANY_LABELS))
    )
    per_label = max(many_ms / large_ms - 1, 0.0) / (_MANY_LABELS - 1)
    return _fit(_px(small), small_ms, _px(large), large_ms, per_label)


def _measure_frame(side: int) -> Cost:
    """Of photos of two sizes, neither of which is a whole multiple of any usual side: those are shrunk quicker."""
    small, large = (np.full((length * 3 // 4, length, 3), 127, np.uint8) for length in _FRAME_SIDES)
    labels = np.zeros((side * 3 // 4, side), np.uint8)
    labels[side // 4 : side // 2, side // 4 : side // 2] = 1
    small_ms, large_ms = (_measure_ms(shrink_to_side, rgb, side) for rgb in (small, large))
    small_grow_ms, large_grow_ms = (_measure_ms(grow_labels, labels, 1, rgb.shape[:2]) for rgb in (small, large))
    small_ms, large_ms = small_ms + small_grow_ms, large_ms + large_grow_ms
    return _fit(_px(small), small_ms, _px(large), large_ms, large_grow_ms / large_ms)


def _fit(small_px: int, small_ms: float, large_px: int, large_ms: float, per_label: float) -> Cost:
    per_px_ms = max(large_ms - small_ms, 0.0) / (large_px - small_px)
    return Cost(max(small_ms - per_px_ms * small_px, 0.0), per_px_ms, per_label)


def _measure_ms(work: Callable[..., object], *given: object) -> float:
    """Processor time of this thread: workers that start at the same moment do not make each other look slow."""
    times_ms = []
    for _ in range(_RUNS):
        started = time.thread_time()
        work(*given)
        times_ms.append((time.thread_time() - started) * 1000)
        if times_ms[-1] > _ENOUGH_MS:
            break
    return min(times_ms)


def _measure_elapsed_ms(work: Callable[..., object], *given: object) -> float:
    """For work that another processor does. The first run may wake it up and does not decide."""
    times_ms = []
    for _ in range(_RUNS):
        started = time.perf_counter()
        work(*given)
        times_ms.append((time.perf_counter() - started) * 1000)
    return min(times_ms)


def _refine(rgb: Rgb, part: Settings, labels: int, device: str) -> None:
    hw = (rgb.shape[0], rgb.shape[1])
    names, scores = [""] * labels, [0.5] * labels
    sides = Sides(*[max(hw)] * 3)
    maps = _draw_maps(labels)
    refinement = Refinement(rgb, maps, Geometry(hw), part, names, scores, box=None, context=None, sides=sides)
    refinement.finish(refinement.solve(device))


def _draw_photo(side: int) -> Rgb:
    """(3/4 side, side, 3): an object before a ground, both with coarse and fine texture, as photos have."""
    random = np.random.default_rng(0)
    height, width = side * 3 // 4, side
    rgb = np.full((height, width, 3), (96, 112, 80), np.float32)
    cv2.ellipse(rgb, (width * 2 // 5, height // 2), (width // 4, height // 3), 20, 0, 360, (150, 110, 90), -1)
    for cells, strength in ((4, 30.0), (16, 15.0), (64, 8.0)):
        noise = random.normal(0, strength, (cells * 3 // 4, cells, 3)).astype(np.float32)
        rgb += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(rgb, 0, 255).astype(np.uint8)  # (H, W, 3)


def _draw_maps(labels: int) -> Maps:
    """(K, 28, 28): soft spots, beside one another."""
    rows, columns = np.mgrid[:_MAP_CELLS, :_MAP_CELLS] / _MAP_CELLS
    centres = 0.4 + 0.2 * np.arange(labels)[:, None, None]  # (K, 1, 1)
    spots = np.exp(-((columns - centres) ** 2 + (rows - 0.5) ** 2) / 0.05)  # (K, h', w')
    return np.asarray(spots, np.float32)


def _px(rgb: Rgb) -> int:
    return int(rgb.shape[0] * rgb.shape[1])
