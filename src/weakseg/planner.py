"""A decoded request to its plan: whatever is wrong with it is found here, before the network runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from weakseg.card import ModelCard, Settings
from weakseg.errors import OptionValueError
from weakseg.groups import pulls_back
from weakseg.option_values import MAX_CLASSES
from weakseg.options import Format, Options, Pick
from weakseg.plan import Plan
from weakseg.preprocess import prepare
from weakseg.query import best_ranks
from weakseg.tiles import Tiling
from weakseg.types import Box, Geometry, Query, Rgb
from weakseg.work import check_settings, check_work, choose_tiled_side, find_excess, is_installed, plan_tiles

AUTO_LABELS = 5  # classes=auto answers with at most this many labels; where the network labels pixels, with 20


class Planner:
    """Makes the plans of one model's requests."""

    def __init__(self, card: ModelCard) -> None:
        self.card = card
        self.vocabulary = card.vocabulary()
        self._rankable = np.flatnonzero(self.vocabulary.rankable())
        self._tile_hw = (card.preprocessing.height, card.preprocessing.width)

    def least_px(self, options: Options, chosen: Format) -> int | None:
        """How small the photo may be decoded: where nothing is drawn on it or cut out of it, as small as it is used."""
        if options.box is not None or chosen in (Format.CUTOUT, Format.OVERLAY, Format.HEATMAP):
            return None
        preprocessing = self.card.preprocessing
        seen_px = self.card.input_side(options) or max(preprocessing.height, preprocessing.width)
        return max(seen_px, *self.card.sides)

    def plan(
        self,
        rgb: Rgb,
        options: Options,
        chosen: Format = Format.MASK,
        *,
        photo_hw: tuple[int, int] | None = None,
    ) -> Plan:
        """See `weakseg.pipeline.Pipeline.plan`."""
        settings = self.card.settings(options)
        if not options.is_auto:
            check_settings(settings)
        if options.box is not None:
            _check_box(options.box, rgb)
        if options.classes == ("none",):
            geometry = Geometry(photo_hw or _hw(rgb))
            return Plan(rgb, options, settings, chosen, options.classes, None, None, geometry)
        among = self._among(options)
        query = self._query(options, settings, among)
        if options.tile and options.max_side is None:
            options = self._choose_side(options, _hw(rgb), query)
            settings = self.card.settings(options)
        asked = options.classes if options.classes == ("auto",) else tuple(self.vocabulary.names[i] for i in among)
        ranking = self._ranking(options, query)
        settings = ranking[-1] if ranking else settings  # the cheapest, until there is a choice
        check_work(settings, query, pulls_back=pulls_back(self.card))
        tiling = self._tiling(_hw(rgb), settings, query)
        network_input, geometry = prepare(rgb, self.card.preprocessing, settings.max_side)
        geometry = geometry if photo_hw is None else replace(geometry, photo_hw=photo_hw)
        return Plan(rgb, options, settings, chosen, asked, query, network_input, geometry, ranking, tiling=tiling)

    def _tiling(self, photo_hw: tuple[int, int], settings: Settings, query: Query) -> Tiling | None:
        """Where tiles were asked for, those of the card's height x width."""
        if not settings.tile or settings.max_side is None:
            return None
        return plan_tiles(photo_hw, self._tile_hw, settings.max_side, _count_kept(query))

    def _choose_side(self, options: Options, photo_hw: tuple[int, int], query: Query) -> Options:
        """Tiles without a size: the usual one, or the largest that one request may have of this photo."""
        side = choose_tiled_side(photo_hw, self._tile_hw, _count_kept(query))
        return options.model_copy(update={"max_side": side})

    def _ranking(self, options: Options, query: Query) -> tuple[Settings, ...]:
        """What refine=auto may choose from: whatever is there and no excess for one request. Empty without auto."""
        ranking = self.card.ranking(options) if options.is_auto else ()
        masks = query.labels.shape[1]
        return tuple(each for each in ranking if is_installed(each) and find_excess(each, masks) is None)

    def _among(self, options: Options) -> NDArray[np.int64]:
        """(M,): the labels asked for, or those that compete where none is named."""
        if options.classes == ("auto",):
            return self._rankable
        asked = list(dict.fromkeys(map(self.vocabulary.resolve, options.classes)))
        if self.card.labels_pixels and options.pick is not Pick.BEST:
            self.vocabulary.refuse_shared(asked)
        return np.array(asked, np.int64)

    def _query(self, options: Options, settings: Settings, among: NDArray[np.int64]) -> Query:
        """B = 1. No map is asked for that is not answered, but for those that the tag threshold may drop.

        Where classes are subtracted, none may be dropped: it would have been subtracted from those that stay.
        """
        if options.pick is Pick.BEST:
            labels = best_ranks(1)
        elif options.classes == ("auto",):
            several = self.card.tag_threshold < 1 and not settings.subtract_classes
            most = MAX_CLASSES if self.card.labels_pixels else AUTO_LABELS
            labels = best_ranks(min(most if several else 1, len(among)))
        else:
            labels = among
        return Query(labels[None], among[None], best_ranks(settings.subtract_classes or 0)[None])


def _count_kept(query: Query) -> int:
    """Labels whose maps are kept until all tiles were seen: with ranks, those of all that compete."""
    kept = query.among if (query.labels < 0).any() else query.labels  # (1, K)
    return int(kept.shape[1])


def _hw(rgb: Rgb) -> tuple[int, int]:
    return rgb.shape[0], rgb.shape[1]


def _check_box(box: Box, rgb: Rgb) -> None:
    height, width = _hw(rgb)
    if box.x0 < 0 or box.y0 < 0 or box.x1 > width or box.y1 > height:
        raise OptionValueError(
            f"{box.as_list()} reaches outside the photo of {width} x {height} pixels.",
            field="box",
            remedy=f"Send x0,y0,x1,y1 with 0 <= x0 < x1 <= {width} and 0 <= y0 < y1 <= {height} (upright photo).",
        )
