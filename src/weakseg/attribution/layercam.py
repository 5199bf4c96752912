"""LayerCAM: activations weighted by their own gradients, position by position.

Jiang et al., *LayerCAM: exploring hierarchical class activation maps* (TIP 2021), section III: with the activations
A_k of one layer,

    M_c(x, y) = relu( sum_k relu(d S_c / d A_k(x, y)) A_k(x, y) )

Differences from the paper: one layer (its fusion of several takes the maximum after a tanh).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from weakseg.attribution.gradcam import GradCamGraph, GradCamSettings
from weakseg.card import Method


@dataclass(frozen=True, slots=True)
class LayerCamSettings(GradCamSettings):
    """As :class:`weakseg.attribution.gradcam.GradCamSettings`."""

    method: ClassVar[Method] = "layercam"


class LayerCamGraph(GradCamGraph):
    """Activations of one layer, weighted by their positive gradients."""

    settings_type = LayerCamSettings

    def combine(self, activations: Tensor, gradients: Tensor) -> Tensor:
        return (activations[:, None] * gradients.relu()).sum(2)
