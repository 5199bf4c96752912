"""The class probabilities of a network that labels every pixel, as a graph like those of all other methods.

With logits z_o(x, y) of the background (o = 0) and of C classes, and a label g that is a class or a group of them,

    p_o = softmax_o z_o      M_g = sum of p_c over the classes c of g      S_g = max_xy mean of M_g over a window

Unlike other maps these are not divided by their maximum: what is left of 1 is the probability of all else, and of the
background in particular. The background is no label.

Source: none for the scores, as such networks are not trained to say whether a class is in the photo. The window keeps
specks from counting as objects: at the default, an object of fewer than 41 pixels has a score below 0.5. The window is
cut off at the border of the photo, where smaller objects do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from weakseg.attribution.cam import mix_channels
from weakseg.attribution.graph import MapGraph, Rgb, normalise_pixels, refuse_other_classes, resolve_labels
from weakseg.card import Method
from weakseg.errors import ModelError
from weakseg.labels import Vocabulary


@dataclass(frozen=True, slots=True)
class PixelSettings:
    """What is decided at export.

    Args:
        flip: Probabilities are averaged with those of the mirrored photo.
        window_px: Side of the window of scores, in cells of the network's logits, odd, 1 to 33. All of our networks
            have one for each pixel of their input.
    """

    method: ClassVar[Method] = "pixels"
    flip: bool = False
    window_px: int = 9

    def __post_init__(self) -> None:
        if not 1 <= self.window_px <= 33 or self.window_px % 2 == 0:
            raise ModelError(f"window_px = {self.window_px}: give an odd number from 1 to 33.")


class PixelGraph(MapGraph):
    """Class probabilities of every pixel. Takes and gives what :class:`weakseg.attribution.graph.LabelGraph` does.

    Args:
        network: (B, 3, h, w) float32, normalised, to logits (B, C + 1, h', w'), the background's first. A network with
            a module whose attribute ``jumps`` is true (pooling whose indices are used) makes a graph that jumps.
        name: Of the network, for messages.
        vocabulary: C class names and G groups; L = C + G labels.
        mean, std: Of the RGB channels in [0, 1]: normalisation happens in here.
    Raises:
        ModelError: the network has more or fewer outputs than the vocabulary has classes and the background.
    """

    gives_probabilities = True
    mean: Tensor  # (3, 1, 1), in [0, 255]
    std: Tensor  # (3, 1, 1), in [0, 255]

    def __init__(
        self,
        network: nn.Module,
        name: str,
        vocabulary: Vocabulary,
        *,
        mean: Rgb,
        std: Rgb,
        settings: PixelSettings | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.settings = settings or PixelSettings()
        self.jumps = any(getattr(module, "jumps", False) for module in network.modules())
        self.scores_jump = self.jumps  # the highest value of a map that jumps
        self.has_groups = bool(vocabulary.groups)
        self.register_buffer("mean", 255 * torch.tensor(mean)[:, None, None])
        self.register_buffer("std", 255 * torch.tensor(std)[:, None, None])
        self.register_buffer("membership", torch.from_numpy(vocabulary.membership()))
        self.eval()
        refuse_other_classes(name, self._count_outputs() - 1, vocabulary)

    def _count_outputs(self) -> int:
        with torch.inference_mode():
            logits: Tensor = self.network(self.mean.new_zeros(1, 3, 32, 48))
        return logits.shape[1]

    def forward(
        self,
        images: Tensor,
        labels: Tensor,
        among: Tensor,
        rivals: Tensor,  # noqa: ARG002  (every graph takes them)
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Scores of every label, and the maps of the wanted ones.

        Args:
            images: (B, h, w, 3) uint8 RGB.
            labels, among, rivals: (B, K), (B, M) and (B, N) int64, as in :class:`weakseg.types.Query`. A rank beyond
                the number of labels that compete means the last one; nothing is subtracted.
        Returns:
            scores (B, L) float32 in [0, 1], maps (B, K, h', w') float32 in [0, 1], chosen (B, K) int64 in [0, L).
        """
        probs = self.class_probabilities(images)  # (B, C, h', w')
        scores = self.score_labels(probs)  # (B, L)
        chosen = resolve_labels(labels, scores, among)  # (B, K)
        members = self.membership[chosen].to(probs.dtype)  # (B, K, C)
        return scores, mix_channels(members, probs).clamp(max=1), chosen  # a sum of float32 may exceed 1

    def class_probabilities(self, images: Tensor) -> Tensor:
        """(B, h, w, 3) uint8 to (B, C, h', w') in [0, 1]: those of the background are left out."""
        pixels = normalise_pixels(images, self.mean, self.std)  # (B, 3, h, w)
        probs: Tensor = self.network(pixels).softmax(1)  # (B, C + 1, h', w')
        if self.settings.flip:
            mirrored: Tensor = self.network(pixels.flip(3)).softmax(1)  # (B, C + 1, h', w')
            probs = (probs + mirrored.flip(3)) / 2
        return probs[:, 1:]

    def score_labels(self, probs: Tensor) -> Tensor:
        """The highest mean over a window of each label's map: (B, C, h', w') to (B, L).

        The mean of a group's map is the sum of its members' means.
        """
        means = average_windows(probs, self.settings.window_px)  # (B, C, h', w')
        scores = means.amax((2, 3))  # (B, C)
        if not self.has_groups:
            return scores
        members = self.membership[scores.shape[1] :].to(probs.dtype)  # (G, C)
        groups = mix_channels(members.expand(scores.shape[0], -1, -1), means)  # (B, G, h', w')
        return torch.cat([scores, groups.amax((2, 3)).clamp(max=1)], 1)  # (B, L)


def average_windows(maps: Tensor, side_px: int) -> Tensor:
    """Means over the window around every cell, as far as it lies inside: (B, N, h', w') to the same shape.

    One direction after the other: a mean over a rectangle is the mean of its rows' means.
    """
    reach = side_px // 2
    rows = nn.functional.avg_pool2d(maps, (side_px, 1), 1, (reach, 0), count_include_pad=False)
    return nn.functional.avg_pool2d(rows, (1, side_px), 1, (0, reach), count_include_pad=False)
