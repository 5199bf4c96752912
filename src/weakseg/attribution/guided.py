"""Guided backpropagation: saliency without what speaks against the class on its way.

Springenberg et al., *Striving for simplicity: the all convolutional net* (ICLR 2015 workshop), section 3.4: going
back through a ReLU, the gradient passes where the ReLU's input was positive *and* where itself is positive.

Differences from the paper: it shows the signed picture; here the map is the maximum over colours of the absolute
value, as in :mod:`weakseg.attribution.saliency`, whose settings apply. ReLU6 is guided like ReLU; other activations
(SiLU, GELU ...) are passed as they are, so that on networks without a ReLU this is saliency.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from weakseg.attribution.saliency import SaliencyGraph, SaliencySettings
from weakseg.card import Method


@dataclass(frozen=True, slots=True)
class GuidedSettings(SaliencySettings):
    """As :class:`weakseg.attribution.saliency.SaliencySettings`."""

    method: ClassVar[Method] = "guided"


class GuidedGraph(SaliencyGraph):
    """|guided gradient of the score with respect to the input|, maximum over colours."""

    settings_type = GuidedSettings
    guided: ClassVar[bool] = True
