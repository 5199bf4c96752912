"""How much one request may ask of a worker: seconds, not minutes."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from importlib.util import find_spec

from weakseg.card import Settings
from weakseg.errors import OptionValueError
from weakseg.options import LEAST_SIDE, MAX_CRF_WORK, MAX_CUTS, MAX_PASSES, TILED_SIDE, CrfEngineName
from weakseg.preprocess import fit_within
from weakseg.tiles import Tiling
from weakseg.types import Query

MAX_TILES = 128  # forward passes of one request: of a network that takes 0.3 s for one, 40 s
MAX_TILED_VALUES = 64_000_000  # of the maps that are kept of one photo, 256 MB: 20 labels at 2048 x 1536


def check_work(settings: Settings, query: Query, *, pulls_back: bool) -> None:
    """Before the network runs.

    Args:
        query: B = 1.
        pulls_back: Whether each label costs a backward pass.
    Raises:
        OptionValueError: too many passes, or see `find_excess`.
    """
    masks, rivals = query.labels.shape[1], query.rivals.shape[1]
    if pulls_back and masks + rivals > MAX_PASSES:
        raise OptionValueError(
            f"{masks} classes less {rivals} others are more than {MAX_PASSES} backward passes.",
            field="subtract_classes",
            remedy=f"Send fewer classes, or a smaller number to subtract: their sum may be {MAX_PASSES} at most.",
        )
    excess = find_excess(settings, masks)
    if excess is not None:
        raise excess


def plan_tiles(photo_hw: tuple[int, int], tile_hw: tuple[int, int], max_side: int, labels: int) -> Tiling:
    """The tiles of a photo that is shrunk to a long side of ``max_side`` pixels.

    Args:
        labels: Whose maps are kept.
    Raises:
        OptionValueError: they would take minutes, or more memory than one request may have.
    """

    def lay(side: int) -> Tiling:
        return Tiling.over(fit_within(photo_hw, side), tile_hw)

    tiling = lay(max_side)
    height, width = tiling.picture_hw
    if tiling.count > MAX_TILES:
        fitting = _largest_side(max_side, lambda side: lay(side).count <= MAX_TILES)
        raise OptionValueError(
            f"{width} x {height} pixels are {tiling.count} tiles, more than {MAX_TILES}.",
            field="max_side",
            remedy=f"Send {fitting} or less, or leave tile out.",
        )
    if labels * height * width > MAX_TILED_VALUES:
        fitting = _largest_side(max_side, lambda side: labels * math.prod(lay(side).picture_hw) <= MAX_TILED_VALUES)
        raise OptionValueError(
            f"{labels} maps of {width} x {height} pixels are more than {MAX_TILED_VALUES:,} values in memory.",
            field="max_side",
            remedy=f"Send {fitting} or less, or fewer classes by name.",
        )
    return tiling


def choose_tiled_side(photo_hw: tuple[int, int], tile_hw: tuple[int, int], labels: int) -> int:
    """The longest side up to TILED_SIDE that `plan_tiles` takes, for a request that asks for tiles and for no size."""

    def is_too_long(side: int) -> bool:
        tiling = Tiling.over(fit_within(photo_hw, side), tile_hw)
        return tiling.count > MAX_TILES or labels * math.prod(tiling.picture_hw) > MAX_TILED_VALUES

    sides = range(LEAST_SIDE, TILED_SIDE + 1)
    return sides[max(bisect_left(sides, True, key=is_too_long) - 1, 0)]


def _largest_side(most: int, is_fine: Callable[[int], bool]) -> int:
    """The longest side below ``most`` that is fine, in steps."""
    return next((side for side in range(most - LEAST_SIDE, LEAST_SIDE, -LEAST_SIDE) if is_fine(side)), LEAST_SIDE)


def check_settings(settings: Settings) -> None:
    """Whether all that they ask for is there.

    Raises:
        OptionValueError: it is not; see `is_installed`.
    """
    if not is_installed(settings):
        raise OptionValueError(
            "pydensecrf is not installed where this service runs.",
            field="crf_engine",
            remedy="Send exact, which computes the same, or fast, or fastest.",
        )


def is_installed(settings: Settings) -> bool:
    """Only the CRF's reference engine may be missing."""
    wants_reference = settings.crf is not None and settings.crf.engine is CrfEngineName.PYDENSECRF
    return not wants_reference or find_spec("pydensecrf") is not None


def find_excess(settings: Settings, masks: int) -> OptionValueError | None:
    """What is too much about refining so many masks like this; None if nothing is."""
    if settings.iterations is not None and masks * settings.iterations > MAX_CUTS:
        return OptionValueError(
            f"{masks} classes with {settings.iterations} iterations each are more than {MAX_CUTS} cuts.",
            field="iterations",
            remedy=f"Send fewer classes or iterations: their product may be {MAX_CUTS} at most.",
        )
    if settings.crf is not None and masks * settings.crf.steps > MAX_CRF_WORK:
        return OptionValueError(
            f"{masks} classes in a CRF of {settings.crf.steps} steps are too much work for one request.",
            field="crf_steps",
            remedy=f"Send fewer classes or steps: their product may be {MAX_CRF_WORK} at most.",
        )
    return None
