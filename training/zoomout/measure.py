"""Choosing how maps are made and cut, and measuring what was chosen: mean IU over background and the classes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.zoomout.combine import Cut, Way, combine, label
from training.zoomout.stages import Look
from weakseg.card import CrfSettings
from weakseg.evaluation.counting import VOC_VALUES
from weakseg.evaluation.metrics import confuse, one_against_rest, score
from weakseg.refine.bench import grow_labels
from weakseg.types import Maps, Rgb
from weakseg.voc import VOC_CLASSES, VOID

THRESHOLDS = tuple(round(0.1 + 0.05 * step, 2) for step in range(17))
CONFIDENCES = (6.0, 12.0)  # of the CRF
VALUES = len(VOC_CLASSES) + 1  # of a mask, without void
KNOWN, PREDICTED = "known", "predicted"  # tags

Confusion = NDArray[np.int64]  # (21, 21), rows true


@dataclass(frozen=True, slots=True)
class Case:
    """One photo with its truth."""

    rgb: Rgb  # (H', W', 3) at working size
    truth: NDArray[np.uint8]  # (H, W)
    look: Look
    shown: tuple[int, ...]  # classes with pixels in the mask

    def maps(self, way: Way, chosen: Sequence[int]) -> Maps:
        """(N, H', W') of the chosen classes, each of which has a guided map."""
        places = np.searchsorted(self.look.named, chosen)
        return combine(self.look.scores[:, list(chosen)], self.look.superpixels, self.look.guided[places], way)


@dataclass(frozen=True, slots=True)
class Choice:
    """A way to make maps, and a way to cut them."""

    way: Way
    cut: Cut
    mean_iu: float  # known tags, where it was chosen


def measure(cases: Iterable[Case], choices: Mapping[str, Choice], classes: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Title -> tags -> scores; see `weakseg.evaluation.metrics.Scores`."""
    sums: dict[str, dict[str, Confusion]] = {title: {KNOWN: _nothing(), PREDICTED: _nothing()} for title in choices}
    for case in cases:
        for title, choice in choices.items():
            for tags, found in _confuse_both(case, choice, classes).items():
                sums[title][tags] += found
    return {
        title: {tags: _summarise(confusion, classes) for tags, confusion in both.items()}
        for title, both in sums.items()
    }


def choose_threshold(cases: Iterable[Case], ways: Sequence[Way], classes: Sequence[str]) -> Choice:
    """The way and the threshold with the highest mean IU, known tags, without CRF."""
    sums = {way: np.zeros((len(THRESHOLDS), VALUES, VALUES), np.int64) for way in ways}
    for case in cases:
        for way in ways:
            if case.shown:
                maps = _grow(case.maps(way, case.shown), case.truth.shape)
                sums[way] += sweep(case.truth, maps, _values(case.shown, classes))
    found = [
        Choice(way, Cut(threshold), _mean_iu(confusion, classes))
        for way, confusions in sums.items()
        for threshold, confusion in zip(THRESHOLDS, confusions, strict=True)
    ]
    return max(found, key=lambda choice: choice.mean_iu)


def choose_crf(cases: Sequence[Case], plain: Choice, classes: Sequence[str]) -> Choice:
    """The CRF's threshold near the plain one, and its confidence, with the highest mean IU, known tags."""
    return max(
        (Choice(plain.way, cut, _measure_known(cases, plain.way, cut, classes)) for cut in _crf_cuts(plain.cut)),
        key=lambda choice: choice.mean_iu,
    )


def _crf_cuts(plain: Cut) -> Iterator[Cut]:
    for shift in (-0.1, 0.0, 0.1):
        for confidence in CONFIDENCES:
            yield Cut(min(max(plain.threshold + shift, 0.05), 0.95), CrfSettings(confidence=confidence))


def _measure_known(cases: Sequence[Case], way: Way, cut: Cut, classes: Sequence[str]) -> float:
    total = _nothing()
    for case in cases:
        total += _confuse(case, way, cut, case.shown, classes)
    return _mean_iu(total, classes)


def _confuse_both(case: Case, choice: Choice, classes: Sequence[str]) -> dict[str, Confusion]:
    predicted = (case.look.predicted,)
    known = _confuse(case, choice.way, choice.cut, case.shown, classes)
    same = predicted == case.shown
    return {KNOWN: known, PREDICTED: known if same else _confuse(case, choice.way, choice.cut, predicted, classes)}


def _confuse(case: Case, way: Way, cut: Cut, chosen: Sequence[int], classes: Sequence[str]) -> Confusion:
    if not chosen:
        return confuse(case.truth, np.zeros_like(case.truth), VALUES, VOID)
    small = label(case.maps(way, chosen), case.rgb, cut)  # (H', W')
    labels = grow_labels(small, len(chosen), (case.truth.shape[0], case.truth.shape[1]))  # (H, W)
    return confuse(case.truth, _values(chosen, classes)[labels], VALUES, VOID)


def sweep(truth: NDArray[np.uint8], maps: Maps, values: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The confusion at every threshold at once.

    Args:
        truth: (H, W).
        maps: (N, H, W).
        values: (N + 1,) mask values: of background, then of each map.
    Returns:
        (T, 21, 21), rows true.
    """
    claims, winners = maps.max(axis=0), values[maps.argmax(axis=0) + 1]  # (H, W)
    passed = np.searchsorted(THRESHOLDS, claims, side="right")  # (H, W) how many thresholds each pixel reaches
    valid = truth != VOID
    cells = (truth[valid].astype(np.int64) * VALUES + winners[valid]) * (len(THRESHOLDS) + 1) + passed[valid]
    counts = np.bincount(cells, minlength=VALUES * VALUES * (len(THRESHOLDS) + 1))
    counts = counts.reshape(VALUES, VALUES, -1)  # (21, 21, T + 1)
    found = counts[..., ::-1].cumsum(axis=2)[..., ::-1][..., 1:]  # (21, 21, T) pixels that reach each threshold
    found[:, 0] += counts.sum(axis=(1, 2))[:, None] - found.sum(axis=1)  # the others are background
    return np.ascontiguousarray(np.moveaxis(found, 2, 0))  # (T, 21, 21)


def _values(chosen: Sequence[int], classes: Sequence[str]) -> NDArray[np.uint8]:
    return np.array([0, *(VOC_VALUES[classes[k]] for k in chosen)], np.uint8)


def _grow(maps: Maps, hw: tuple[int, ...]) -> Maps:
    if maps.shape[1:] == hw:
        return maps
    rows, columns = (np.arange(to) * size // to for size, to in zip(maps.shape[1:], hw, strict=True))
    return maps[:, rows[:, None], columns]  # (N, H, W)


def _nothing() -> Confusion:
    return np.zeros((VALUES, VALUES), np.int64)


def _summarise(confusion: Confusion, classes: Sequence[str]) -> dict[str, Any]:
    rows = [0, *(VOC_VALUES[name] for name in classes)]
    return score(one_against_rest(confusion)[rows], ("background", *classes)).as_dict()


def _mean_iu(confusion: Confusion, classes: Sequence[str]) -> float:
    return float(_summarise(confusion, classes)["miou"] or 0.0)
