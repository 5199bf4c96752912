"""What is formally an answer and probably none: said in words, so that nobody trusts it by mistake."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from weakseg.codec.coco import area_px
from weakseg.types import LabelMap, Segment

LOW_SCORE = 0.1
NEARLY_ALL = 0.95
LIKELY = 0.5  # the score from which on a network that labels pixels believes that a label is somewhere


def find_doubts(label_map: LabelMap, segments: Sequence[Segment]) -> tuple[str, ...]:
    """Warnings about scores that are low, and masks that are empty or cover (nearly) the whole photo.

    Args:
        label_map: (H, W) uint8.
        segments: Of the same photo.
    """
    doubts = []
    for segment in segments:
        share = area_px(label_map == segment.value) / label_map.size
        if segment.score is not None and segment.score < LOW_SCORE:
            doubts.append(f"{segment.label}: its score is {segment.score:.2g}; the photo may not show it.")
        if share == 0:
            doubts.append(f"{segment.label}: its mask is empty.")
        elif share >= NEARLY_ALL:
            doubts.append(_find_no_background(segment, share))
    return tuple(doubts)


def find_pixel_doubts(label_map: LabelMap, segments: Sequence[Segment]) -> tuple[str, ...]:
    """Of a network that labels pixels: it may be asked for twenty labels of which a photo shows one.

    A mask is not empty and yet a label's score below 0.5 where the threshold is low, or where the label is more
    likely than each other one, but not than all others together.
    """
    shares = np.bincount(label_map.ravel(), minlength=256) / label_map.size  # (256,)
    missing = [segment.label for segment in segments if shares[segment.value] == 0]
    doubts = [f"not found, mask empty: {', '.join(missing)}."] if missing else []
    for segment in segments:
        share = shares[segment.value]
        if share > 0 and segment.score is not None and segment.score < LIKELY:
            doubts.append(f"{segment.label}: its score is {segment.score:.2g}; the photo may not show it.")
        if share >= NEARLY_ALL:
            doubts.append(_find_no_background(segment, share))
    return tuple(doubts)


def _find_no_background(segment: Segment, share: float) -> str:
    return f"{segment.label}: its mask covers {share:.0%} of the photo; it found no background."
