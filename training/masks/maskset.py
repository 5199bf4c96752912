"""Photos and masks as batches. Measuring squashes both; training may vary them together, reproducibly."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors

from training.masks.coding import LabelMap
from training.masks.sources import Masked, MaskedPhoto
from training.photos import Batch, Pick, squash
from training.recipe import Recipe
from training.variation import build_variation, vary
from weakseg.types import Rgb


class MaskSet(Dataset[Batch]):
    """Photos as network inputs of uint8, and the class of every pixel. Indexed by `Pick`, not by number.

    An item is images (3, h, w) uint8, targets (h, w) uint8 (0 background, 1 to C the classes, 255 void), and whether
    it counts.
    """

    def __init__(self, photos: Sequence[MaskedPhoto], classes: Sequence[str], recipe: Recipe) -> None:
        self.photos = photos
        self.classes = classes
        self.recipe = recipe
        self._vary = build_variation(recipe)
        if recipe.workers:  # worker processes of an epoch would take what they keep with them when it ends
            for photo in photos:
                photo.source.warm(photo)

    def __getitem__(self, pick: Pick) -> Batch:
        masked = self.photos[pick.number].read(pick.seed)
        image, targets = self._to_input(masked, pick.seed)
        return Batch(image, targets, torch.tensor(pick.counts))

    def show(self, number: int) -> tuple[Rgb, Tensor, Tensor]:
        """A photo (H, W, 3), the input (3, h, w) uint8 that measurements make of it, and its target (h, w)."""
        masked = self.photos[number].read(None)
        return masked.rgb, *self._to_input(masked, None)

    def _to_input(self, masked: Masked, seed: int | None) -> tuple[Tensor, Tensor]:
        hw = self.recipe.input_hw
        if seed is None:
            return squash(masked.rgb, hw), squash_mask(masked.targets, hw)
        if self.recipe.crop is None:
            image, targets = squash(masked.rgb, hw), squash_mask(masked.targets, hw)
        else:
            image, targets = torch.from_numpy(masked.rgb).permute(2, 0, 1), torch.from_numpy(masked.targets)
        varied, moved = vary(self._vary, seed, tv_tensors.Image(image), tv_tensors.Mask(targets))
        return varied.as_subclass(Tensor).contiguous(), moved.as_subclass(Tensor).contiguous()  # (3, h, w), (h, w)


def squash_mask(targets: LabelMap, hw: tuple[int, int]) -> Tensor:
    """(H, W) to (h, w) uint8: of every pixel, the value at its centre."""
    resized = cv2.resize(targets, hw[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    return torch.from_numpy(resized)  # (h, w)
