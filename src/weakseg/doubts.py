"""What is formally an answer and probably none: said in words, so that nobody trusts it by mistake."""

from __future__ import annotations

from collections.abc import Sequence

from weakseg.codec.coco import area_px
from weakseg.types import LabelMap, Segment

LOW_SCORE = 0.1
NEARLY_ALL = 0.95


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
            doubts.append(f"{segment.label}: its mask covers {share:.0%} of the photo; it found no background.")
    return tuple(doubts)
