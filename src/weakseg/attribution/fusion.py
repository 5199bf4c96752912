"""Fusion: what the last feature map and gradients say, spread over cells that look alike. One network, one graph.

1. Seeds: the class activation map M_c (:mod:`weakseg.attribution.cam`), plus gradients at the input and at inner
   layers: absolute values, maximum or mean over channels, smoothed by a Gaussian, stretched to [0, 1] and weighted.
2. Seeds are damped towards the border of the photo, where padding makes gradients loud, and raised to a power.
3. Each cell's value becomes the mean over all cells of one layer, weighted by how similar their features are
   (:func:`weakseg.attribution.cam.average_by_similarity`).

Gradients are those of the *map* by default, d (sum of M_c over all positions) / d layer, which ask "what made the
map?"; or those of the score, as in :mod:`weakseg.attribution.saliency`. M_c is linear in the features here, for every
head: the bias inside SqueezeNet's map is left out.

No paper: the project's own. Which layers, how smooth and how damped belongs to a network, and is chosen by measuring:
see the presets in ``export/default_models.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from weakseg.attribution.cam import CamSettings, average_by_similarity, mix_channels, weigh_channels
from weakseg.attribution.gradient import Glance, GradientGraph
from weakseg.attribution.graph import TINY, Wanted, normalise_maps
from weakseg.attribution.placement import count_up, place_cells, sample_smoothly
from weakseg.card import Method
from weakseg.errors import ModelError, UnsupportedNetworkError
from weakseg.labels import Vocabulary
from weakseg.models.split import SplitNetwork, split_network
from weakseg.models.tape import INPUT, OUTPUT, Tape, Values

CHECK_HW = (96, 128)


@dataclass(frozen=True, slots=True)
class Part:
    """One gradient among the seeds.

    Args:
        layer: A layer's name, or ``<input>``.
        weight: Of its map, stretched to [0, 1].
        sigma: Of its Gaussian, as a fraction of the view's longer side; 0: none.
        reduce: What becomes of the channels' absolute values.
    """

    layer: str = INPUT
    weight: float = 1.0
    sigma: float = 0.03
    reduce: Literal["max", "mean"] = "max"

    def __post_init__(self) -> None:
        if not (0 <= self.sigma <= 0.5 and self.weight > 0 and self.reduce in ("max", "mean")):
            raise ModelError(f"{self}: give a weight above 0, a sigma from 0 to 0.5, and max or mean.")


@dataclass(frozen=True, slots=True)
class FusionSettings(CamSettings):
    """What is decided at export; those of the class activation map, and:

    Args:
        parts: Gradients among the seeds.
        combine: ``sum`` of the class activation map and the parts, each times its weight; or the ``product`` of the
            class activation map and the parts' sum.
        map_weight: Of the class activation map, stretched to [0, 1], in a sum; 0: gradients alone.
        gradient_of: ``map``: of the class activation map's sum; ``score``: of the logits.
        damping: How much of a seed is taken away at the very border, in [0, 1].
        damping_reach: How fast that fades: by a factor of e per this fraction of the side.
        power: To which the seeds are raised.
        spread_layer: Whose features say which cells look alike; empty: the last feature map's. It is used with
            ``similarity``, and otherwise only lends its size.
    """

    method: ClassVar[Method] = "fusion"
    parts: tuple[Part, ...] = (Part(),)
    combine: Literal["sum", "product"] = "sum"
    map_weight: float = 1.0
    gradient_of: Literal["map", "score"] = "map"
    damping: float = 0.0
    damping_reach: float = 0.1
    power: float = 1.0
    spread_layer: str = ""

    def __post_init__(self) -> None:
        CamSettings.__post_init__(self)  # super() does not work in a class with slots
        parts = tuple(Part(**part) if isinstance(part, Mapping) else part for part in self.parts)  # from YAML
        object.__setattr__(self, "parts", parts)
        if not self.parts:
            raise ModelError("parts: a fusion without gradients is method cam.")
        if self.combine not in ("sum", "product") or not self.map_weight >= 0:
            raise ModelError("Give combine as sum or product, and a map_weight of 0 or more.")
        if self.gradient_of not in ("map", "score"):
            raise ModelError(f"gradient_of = {self.gradient_of!r}: give map or score.")
        if not (0 <= self.damping <= 1 and self.damping_reach > 0 and self.power > 0):
            raise ModelError("Give a damping from 0 to 1, and a damping_reach and a power above 0.")


class FusionGraph(GradientGraph):
    """Class activation map and gradients as seeds, averaged over cells with similar features."""

    settings_type = FusionSettings
    settings: FusionSettings
    weight: Tensor  # (C, F)

    def prepare(self, model: nn.Module, network: str, _vocabulary: Vocabulary, /) -> None:
        split = split_network(model, network)
        self.register_buffer("weight", split.weight)
        self.features = find_features(self.tape, split)
        self.spread_layer = self.settings.spread_layer or self.features
        known = {*self.tape.layers, INPUT}
        for layer in (self.spread_layer, *(part.layer for part in self.settings.parts)):
            if layer not in known:
                raise ModelError(f"The network has no layer {layer!r}. It has: {', '.join(self.tape.layers)}.")

    def canvas(self, first: Glance) -> Tensor:
        return first.sides[0][self.spread_layer]

    def draw(self, values: Values, view: Tensor, wanted: Wanted, canvas: Tensor) -> Tensor:
        looks_alike = values[self.spread_layer]  # (B, F', h', w')
        seeds = self.seeds(values, view, wanted, looks_alike)  # (B, K, h', w')
        if self.settings.damping > 0:
            seeds = seeds * self.damp(looks_alike)
        if self.settings.power != 1:
            seeds = seeds**self.settings.power
        maps = average_by_similarity(seeds, looks_alike) if self.settings.similarity else seeds
        return place_cells(maps, view, self.tape.grid(self.spread_layer), canvas)

    def seeds(self, values: Values, view: Tensor, wanted: Wanted, like: Tensor) -> Tensor:
        """All maps at the cells of ``like``, combined: (B, K, h', w'), not negative."""
        weights = weigh_channels(wanted.mix, self.weight, self.settings)  # (B, K, F)
        class_maps = mix_channels(weights, values[self.features]).relu()  # (B, K, n_y, n_x)
        start = self.start(wanted, weights, class_maps)
        pulled = self.tape.pull_back(values, start, {part.layer for part in self.settings.parts})
        sampled = normalise_maps(self.sample(class_maps, self.features, 0.0, view, like))  # (B, K, h', w')
        parts = torch.stack([self.part_map(part, pulled, view, like) for part in self.settings.parts]).sum(0)
        return sampled * parts if self.settings.combine == "product" else self.settings.map_weight * sampled + parts

    def part_map(self, part: Part, pulled: Mapping[str, Tensor], view: Tensor, like: Tensor) -> Tensor:
        """One part of the seeds, (B, K, h', w') in [0, weight]."""
        gradients = pulled[part.layer].abs()  # (B, K, c, n_y, n_x)
        reduced = gradients.amax(2) if part.reduce == "max" else gradients.mean(2)
        return part.weight * stretch(self.sample(reduced, part.layer, part.sigma, view, like))

    def start(self, wanted: Wanted, weights: Tensor, class_maps: Tensor) -> dict[str, Tensor]:
        """Where gradients start, and with what: of the maps' sum or of the scores."""
        if self.settings.gradient_of == "score":
            return {OUTPUT: wanted.mix}
        counts = (class_maps > 0).float()[:, :, None]  # (B, K, 1, n_y, n_x)
        return {self.features: weights[..., None, None] * counts}  # (B, K, F, n_y, n_x)

    def sample(self, maps: Tensor, layer: str, sigma: float, view: Tensor, like: Tensor) -> Tensor:
        """A layer's maps, smoothed, at the cells of ``like``, which are those of the spread layer."""
        if layer == self.spread_layer and sigma == 0:
            return maps
        return sample_smoothly(maps, view, self.tape.grid(layer), self.tape.grid(self.spread_layer), like, sigma)

    def damp(self, like: Tensor) -> Tensor:
        """(h', w'): 1 far from the border, and less towards it."""
        rows, columns = (self.border_distance(count_up(like, axis)) for axis in (2, 3))  # (h',), (w',)
        nearest = torch.minimum(rows[:, None], columns)  # (h', w')
        damped: Tensor = 1 - self.settings.damping * (-nearest / self.settings.damping_reach).exp()
        return damped

    @staticmethod
    def border_distance(cells: Tensor) -> Tensor:
        """Of each cell's centre to the nearer end of its row, as a fraction of the row: (N,)."""
        return (torch.minimum(cells, cells[-1] - cells) + 0.5) / cells.shape[0]


def stretch(maps: Tensor) -> Tensor:
    """(B, K, h', w') to [0, 1], smallest to largest."""
    lifted = maps - maps.amin((2, 3), keepdim=True)
    return lifted / lifted.amax((2, 3), keepdim=True).clamp(min=TINY)


def find_features(tape: Tape, split: SplitNetwork) -> str:
    """The layer whose value is the last feature map.

    Raises:
        UnsupportedNetworkError: none is.
    """
    images: Any = torch.randn(1, 3, *CHECK_HW, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, values = split.features(images), tape.run(images)
        for layer in reversed(tape.layers):
            found = values[layer]
            if found.shape == expected.shape and torch.allclose(found, expected, rtol=1e-3, atol=1e-4):
                return layer
    raise UnsupportedNetworkError(f"{split.name}: the tape does not hold its last feature map.")
