"""A request that was found valid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weakseg.card import Settings
from weakseg.options import Format, Options
from weakseg.tiles import Tiling
from weakseg.types import Geometry, Query, Rgb


@dataclass(frozen=True, slots=True)
class Choice:
    """What refine=auto came to."""

    asked_ms: float  # the budget, from the request or the card
    budget_ms: float  # what the batch's deadline left of it
    estimated_ms: float  # of the refinement that was chosen


@dataclass(frozen=True, slots=True)
class Plan:
    """A request that was found valid: all that the stages after it need."""

    rgb: Rgb  # (H, W, 3); smaller where the photo was decoded smaller: see codec.decode.decode_photo
    options: Options
    settings: Settings
    format: Format
    asked: tuple[str, ...]  # what ``classes`` was understood as: label names, or auto or none
    query: Query | None  # of this photo alone, B = 1; None for naked GrabCut
    network_input: NDArray[np.uint8] | None  # (h, w, 3); None for naked GrabCut
    geometry: Geometry
    ranking: tuple[Settings, ...] = ()  # of refine=auto, best first; empty once one of them is chosen
    choice: Choice | None = None  # of refine=auto, once it is made
    tiling: Tiling | None = None  # of the network input, where the network sees it in tiles
