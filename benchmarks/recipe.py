"""What the naive service is told, so that it gives the same masks; without anything that it is made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recipe:
    """What the model card of weakseg's model says; lengths are fractions of the photo's long side."""

    sigma: float  # of the Gaussian on the map
    threshold: float  # of the map, where the CRF is undecided
    confidence: float
    steps: int
    smooth_sigma: float
    smooth_weight: float
    colour_sigma: float
    colour_rgb: float
    colour_weight: float
