"""DCSM: distinct class-specific saliency maps, by subtracting the gradients of rival classes.

Shimoda & Yanai, *Distinct class-specific saliency maps for weakly supervised semantic segmentation* (ECCV 2016; their
slides of MIRU 2016, section 2), and facts of their published network:

1. Each label sends a signal of 1 from every position of its class map (before global pooling) back through the
   network, guided at every ReLU. Networks without class maps send it from the logit.
2. Per layer, V_k = maximum over channels of what arrives there.
3. Per layer, with s(X) = tanh(3 X / max X):   D_k = s( sum over rivals j of s(max(V_k - V_j, 0)) ).
   Without rivals (the slides' N = 0): D_k = s(max(V_k, 0)).
4. Bilinear to one size, sum over layers, divided by its maximum.

Differences: the paper takes its layers from VGG16 (conv3_1 to conv5_3); here they are the outputs of convolutions
behind their activation at strides 4, 8 and 16, at most the last three of each, which for VGG16 are these nine. Rivals
are the N best-scoring other labels, and all labels asked for; the paper's are the top three classes of the photo. A
label that shares classes with one asked for (the group ``dog`` with ``Chihuahua``) is no rival: it would erase it. A
group's signal is its members' mix, as in :mod:`weakseg.attribution.gradient`. Maps have the finest layer's size, whose
cells are put where they lie in the photo, instead of the photo's. Several scales are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from weakseg.attribution.gradient import Glance, GradientGraph
from weakseg.attribution.graph import TINY, GraphSettings, Wanted
from weakseg.attribution.placement import place_cells
from weakseg.card import Method
from weakseg.errors import ModelError
from weakseg.labels import Vocabulary
from weakseg.models.tape import OUTPUT, Tape, Values
from weakseg.types import NO_LABEL

STRIDES = (4, 8, 16)
LAYERS_PER_STRIDE = 3
STEEPNESS = 3.0


@dataclass(frozen=True, slots=True)
class DcsmSettings(GraphSettings):
    """What is decided at export.

    Args:
        layers: Names of the layers whose maps are summed; none: chosen as this module's docstring says.
    """

    method: ClassVar[Method] = "dcsm"
    layers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Contest:
    """Who is subtracted from whom.

    Args:
        mix: (B, J, C): of all contenders, J = K + N: the labels asked for, then their rivals.
        subtracts: (B, K, J) float32: 1 where contender j is subtracted from label k, else 0.
    """

    mix: Tensor
    subtracts: Tensor


class DcsmGraph(GradientGraph):
    """Guided gradients at several layers, less those of rival classes."""

    settings_type = DcsmSettings
    settings: DcsmSettings
    candidates: Tensor  # (R,) int64: labels that compete on this model

    def prepare(self, _model: nn.Module, _network: str, vocabulary: Vocabulary, /) -> None:
        self.settings = replace(self.settings, layers=choose_layers(self.tape, self.settings.layers))
        self.finest = min(self.settings.layers, key=lambda layer: self.tape.grid(layer).stride_yx)
        self.register_buffer("candidates", torch.from_numpy(np.flatnonzero(vocabulary.rankable())))

    def canvas(self, first: Glance) -> Tensor:
        return first.sides[0][self.finest]

    def draw(self, values: Values, view: Tensor, wanted: Wanted, canvas: Tensor) -> Tensor:
        contest = self.find_contest(wanted)
        pulled = self.tape.pull_back(values, self.signal(values, contest.mix), self.settings.layers, guided=True)
        summed = [
            place_cells(subtract_rivals(pulled[layer].amax(2), contest.subtracts), view, self.tape.grid(layer), canvas)
            for layer in self.settings.layers
        ]  # (B, K, h', w') per layer
        return torch.stack(summed).sum(0)

    def signal(self, values: Values, mix: Tensor) -> dict[str, Tensor]:
        """What each contender sends back: (B, J, C) to seeds at the class maps (B, J, C, h', w'), or at the logits."""
        if self.tape.class_map is None:
            return {OUTPUT: mix}
        everywhere = torch.ones_like(values[self.tape.class_map])[:, None]  # (B, 1, C, h', w')
        return {self.tape.class_map: mix[..., None, None] * everywhere}

    def find_contest(self, wanted: Wanted) -> Contest:
        rivals, real = resolve_rivals(wanted, self.candidates, self.membership)
        contenders = torch.cat([wanted.labels, rivals], 1)  # (B, J)
        mix = torch.cat([wanted.mix, self.mix(rivals, wanted.logits)], 1)  # (B, J, C)
        subtracting = (wanted.rivals != NO_LABEL).float().sum(1, keepdim=True).clamp(max=1)  # (B, 1): 1 or 0
        counts = torch.cat([find_first(wanted.labels) * subtracting, real], 1)  # (B, J)
        apart = 1 - share_classes(wanted.labels, contenders, self.membership)  # (B, K, J)
        return Contest(mix, apart * counts[:, None, :])


def choose_layers(tape: Tape, layers: Sequence[str]) -> tuple[str, ...]:
    """The layers asked for, or the last convolutions of each stride, in the network's order.

    Raises:
        ModelError: the network has no such layer, or no convolution at these strides.
    """
    if unknown := set(layers) - set(tape.layers):
        raise ModelError(f"The network has no layers {sorted(unknown)}. It has: {', '.join(tape.layers)}.")
    chosen = list(layers)
    for stride in () if layers else STRIDES:
        at_stride = [layer for layer in tape.convolutions if tape.grid(layer).stride_yx == (stride, stride)]
        chosen += [layer for layer in at_stride if layer != tape.class_map][-LAYERS_PER_STRIDE:]
    if not chosen:
        raise ModelError(f"No convolution has a stride of {STRIDES}. Choose layers: {', '.join(tape.layers)}.")
    return tuple(chosen)


def resolve_rivals(wanted: Wanted, candidates: Tensor, membership: Tensor) -> tuple[Tensor, Tensor]:
    """The best-scoring labels that share no class with those asked for.

    Args:
        candidates: (R,) int64.
        membership: (L, C) bool.
    Returns:
        (B, N) int64 labels, and (B, N) float32: 1 where there is such a rival, 0 where the query is filled up or asks
        for more of them than there are.
    """
    everyone = candidates.expand(wanted.labels.shape[0], -1)  # (B, R)
    taken = share_classes(wanted.labels, everyone, membership).amax(1)  # (B, R)
    ranking = candidates[(wanted.scores[:, candidates] - 2 * taken).argsort(1, descending=True)]  # (B, R)
    rank = -wanted.rivals - 1  # (B, N)
    real = (rank < (1 - taken).sum(1, keepdim=True)).float()  # (B, N)
    return ranking.gather(1, rank.clamp(0, candidates.shape[0] - 1)), real


def share_classes(labels: Tensor, others: Tensor, membership: Tensor) -> Tensor:
    """1 where two labels have a class in common, else 0: (B, K) and (B, J) to (B, K, J) float32."""
    common = membership[labels].float() @ membership[others].float().transpose(1, 2)  # (B, K, J): how many
    return common.clamp(max=1)


def find_first(labels: Tensor) -> Tensor:
    """1 where a row has this label for the first time, else 0: (B, K) to (B, K) float32."""
    same = (labels[:, :, None] == labels[:, None, :]).float()  # (B, K, K)
    return 1 - same.tril(-1).amax(2)  # (B, K)


def subtract_rivals(signals: Tensor, subtracts: Tensor) -> Tensor:
    """Step 3 for one layer.

    Args:
        signals: (B, J, h', w'): V of all contenders, the K labels asked for first.
        subtracts: (B, K, J).
    Returns:
        (B, K, h', w') in [0, 1).
    """
    own = signals[:, : subtracts.shape[1]]  # (B, K, h', w')
    ahead = squash((own[:, :, None] - signals[:, None]).relu())  # (B, K, J, h', w')
    summed = (ahead * subtracts[..., None, None]).sum(2)  # (B, K, h', w')
    rivals = subtracts.sum(2)[..., None, None]  # (B, K, 1, 1)
    return squash(torch.where(rivals > 0, summed, own.relu()))


def squash(maps: Tensor) -> Tensor:
    """tanh(3 x / max x) over the last two axes, of maps that are not negative."""
    return (STEEPNESS * maps / maps.amax((-2, -1), keepdim=True).clamp(min=TINY)).tanh()
