"""What all methods by gradients share: forward and backward pass as one graph, over several views of a photo.

The backward pass consists of ordinary operators (:mod:`weakseg.models.tape`), so the exported graph needs no autograd.
The forward pass runs once per view; the backward passes of all wanted labels run as one batch. A group is explained by
the gradient of its members' mixed logits, sum_c mix_c S_c: its seed is the mix that weights the maps of CAM, too.

Gradients are those with respect to the *normalised* input. They are no continuous function of it: where a ReLU's
input is (almost) zero, or two values in a pooling window are (almost) equal, rounding decides which way the gradient
takes. Another runtime, or another batch size, rounds differently, and part of a map may then differ by a few percent
of its maximum. (Exact ties are treated alike everywhere, as :mod:`weakseg.models.tape` says.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from weakseg.attribution.graph import GraphSettings, LabelGraph, Rgb, Wanted, normalise_maps, refuse_other_classes
from weakseg.labels import Vocabulary
from weakseg.models.tape import Values, record_tape


@dataclass(frozen=True, slots=True)
class Glance:
    """What the network saw in one view."""

    view: Tensor  # (B, 3, h, w)
    sides: tuple[Values, ...]  # of the view; with ``flip``, of its mirror image too
    logits: Tensor  # (B, C), the mean over the sides


class GradientGraph(LabelGraph[Glance]):
    """A graph that goes forward and back; see :class:`weakseg.attribution.graph.LabelGraph` for what goes in and out.

    Args:
        model: Any classifier, (B, 3, h, w) -> (B, C). It is copied.
        network: Its name, for messages.
        settings: Default: those of ``settings_type``.
    Raises:
        UnsupportedOperatorError: the model has an operator that gradients cannot pass; names it.
        ModelError: classes, groups or settings do not fit the network.
    """

    jumps = True
    settings_type: ClassVar[type[GraphSettings]]

    def __init__(
        self,
        model: nn.Module,
        network: str,
        vocabulary: Vocabulary,
        *,
        mean: Rgb,
        std: Rgb,
        settings: GraphSettings | None = None,
        multi_label: bool = False,
    ) -> None:
        settings = settings or self.settings_type()
        super().__init__(vocabulary, mean=mean, std=std, settings=settings, multi_label=multi_label)
        self.tape = record_tape(model, network)
        refuse_other_classes(network, self.tape.class_count, vocabulary)
        self.prepare(model, network, vocabulary)
        self.eval()

    def prepare(self, model: nn.Module, network: str, vocabulary: Vocabulary, /) -> None:
        """What a method needs beside the tape and its settings. Raises: ModelError: the settings do not fit."""

    def look(self, view: Tensor) -> Glance:
        """One forward pass; with ``flip``, two."""
        sides = [self.tape.run(each) for each in ([view, view.flip(3)] if self.settings.flip else [view])]
        return Glance(view, tuple(sides), torch.stack([side.output for side in sides]).mean(0))

    def make_maps(self, looks: list[Glance], wanted: Wanted) -> Tensor:
        """(B, K, h', w'), the mean over the views and their sides; each has been divided by its maximum."""
        canvas = self.canvas(looks[0])
        drawn = []
        for look in looks:
            as_seen, *mirrored = (self.draw(side, look.view, wanted, canvas) for side in look.sides)
            drawn += [as_seen, *(maps.flip(3) for maps in mirrored)]
        return torch.stack([normalise_maps(maps) for maps in drawn]).mean(0) if len(drawn) > 1 else drawn[0]

    def canvas(self, first: Glance) -> Tensor:
        """A tensor (B, c, h', w') of the first view whose cells the maps have."""
        raise NotImplementedError

    def draw(self, values: Values, view: Tensor, wanted: Wanted, canvas: Tensor) -> Tensor:
        """The maps of one side of one view.

        Args:
            values: Of the forward pass.
            view: (B, 3, h, w), for its size.
            canvas: (B, c, h', w'): maps have as many cells, which divide the view evenly.
        Returns:
            (B, K, h', w'), not negative.
        """
        raise NotImplementedError
