"""A classifier looks at a photo: zoom-out features of its superpixels, and guided-backprop maps of classes."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.zoomout.levels import describe, find_levels
from training.zoomout.superpixels import Superpixels, find_superpixels
from weakseg.card import Preprocessing
from weakseg.errors import ModelError
from weakseg.models.classifier import Classifier
from weakseg.models.tape import OUTPUT, Values, record_tape
from weakseg.preprocess import prepare
from weakseg.types import Maps, Rgb
from weakseg.voc import voc_groups

GUIDED_STRIDE_PX = 4  # of the layer at which guided gradients are read: finer ones are noisier, coarser ones blunter
MEMBER_TEMPERATURE = 2.0  # how far a class's signal goes to its best-scoring members, as in the default model


class Observer:
    """Superpixels, features and guided maps of photos.

    Args:
        input_px: h = w of the network's input; photos are squashed to it.
        superpixels: About how many in a photo.
    """

    def __init__(self, classifier: Classifier, *, input_px: int, superpixels: int) -> None:
        self.tape = record_tape(classifier.model, classifier.network)
        self.classes = classifier.classes
        self.levels = find_levels(self.tape, input_px)
        self._input_px = input_px
        self._superpixels = superpixels
        mean, std = classifier.normalisation.mean, classifier.normalisation.std
        self._preprocessing = Preprocessing(height=input_px, width=input_px, mean=mean, std=std)
        self._mean, self._std = (torch.tensor(values)[:, None, None] for values in (mean, std))  # (3, 1, 1)

    def run(self, rgb: Rgb) -> Values:
        """One forward pass, B = 1, on the photo as it is served and trained on."""
        squashed, _ = prepare(rgb, self._preprocessing)  # (h, w, 3)
        image = (torch.from_numpy(squashed).permute(2, 0, 1) / 255 - self._mean) / self._std  # (3, h, w)
        with torch.no_grad():
            return self.tape.run(image[None])

    def describe(self, rgb: Rgb, values: Values) -> tuple[Superpixels, NDArray[np.float32]]:
        """(H, W) superpixels and their (S, D) features."""
        superpixels = find_superpixels(rgb, self._superpixels)
        return superpixels, describe([values[level][0] for level in self.levels], values.output[0], superpixels)

    def guide(self, values: Values, names: tuple[str, ...]) -> Maps:
        """Guided backprop (Springenberg et al., 2015) at a layer of stride 4: one map per class, (K, h', w') >= 0.

        As in DCSM (Shimoda & Yanai, ECCV 2016), of each position's gradients the largest counts; maps are not scaled.
        """
        layer = min(self.levels, key=lambda level: abs(self._input_px / values[level].shape[3] - GUIDED_STRIDE_PX))
        seeds = torch.stack([self._seed(values.output[0], name) for name in names])[None]  # (1, K, C)
        with torch.no_grad():
            grads = self.tape.pull_back(values, {OUTPUT: seeds}, [layer], guided=True)[layer][0]  # (K, F, h', w')
        return grads.clamp(min=0).amax(1).numpy()  # (K, h', w')

    def _seed(self, logits: Tensor, name: str) -> Tensor:
        """(C,) what is sent back for a class: 1, shared among its members by their logits."""
        members = find_members(self.classes, name)
        seed = torch.zeros_like(logits)
        seed[members] = torch.softmax(logits[members] / MEMBER_TEMPERATURE, dim=0)
        return seed


def find_members(classes: tuple[str, ...], name: str) -> list[int]:
    """The network's classes that make up a VOC class: the one of this name, or ImageNet's below it.

    Raises:
        ModelError: the network knows neither.
    """
    if name in classes:
        return [classes.index(name)]
    if len(classes) == 1000:
        return voc_groups()[name]
    raise ModelError(f"The network has no class {name!r}, and its {len(classes)} classes are not ImageNet's 1000.")
