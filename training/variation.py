"""Random changes of photos while a network learns, and of their masks with them where there are some.

The list of the LFW paper (crop, flip, Gaussian blur, dropout, additive Gaussian noise, affine) and colour jitter, as
transforms of torchvision: what moves pixels moves a `tv_tensors.Mask` along, by nearest neighbours.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from training.recipe import Recipe
from weakseg.voc import VOID

OUTSIDE = {torch.Tensor: 124, tv_tensors.Image: 124, tv_tensors.Mask: VOID}  # what an affine change brings in
LEAST_BLUR_PX = 0.1


def build_variation(recipe: Recipe) -> v2.Transform:
    """The recipe's random changes of an image (3, H, W) uint8, which end in the network's size.

    Without ``crop``, the image must have that size already. In a mask (H, W) beside it, pixels that come from outside
    of the photo are void.
    """
    steps: list[v2.Transform] = [v2.Identity()]
    if recipe.crop is not None:
        steps.append(v2.RandomResizedCrop(recipe.input_hw, scale=recipe.crop, antialias=True))
    if recipe.flip:
        steps.append(v2.RandomHorizontalFlip())
    if recipe.turn or recipe.shift or recipe.zoom:
        steps.append(_affine(recipe))
    if recipe.jitter:
        strength = recipe.jitter
        steps.append(v2.ColorJitter(strength, strength, strength))
    if recipe.blur:
        steps.append(_blur(recipe.blur))
    if recipe.noise:
        steps.append(Noise(recipe.noise))
    if recipe.dropout:
        steps.append(Dropout(recipe.dropout))
    return v2.Compose(steps)


def vary(variation: v2.Transform, seed: int, *inputs: Tensor) -> Any:
    """The change that belongs to a seed, whatever the number of workers and processes; torch's state stays as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return variation(*inputs)


def _affine(recipe: Recipe) -> v2.Transform:
    shift = (recipe.shift, recipe.shift)
    bilinear = v2.InterpolationMode.BILINEAR  # of images; masks are always taken from the nearest pixel
    return v2.RandomAffine(recipe.turn, shift, recipe.zoom, interpolation=bilinear, fill=OUTSIDE)


def _blur(largest_px: float) -> v2.Transform:
    """Of every second photo; the kernel holds two sigmas to either side of the widest."""
    width_px = 2 * max(1, round(2 * largest_px)) + 1
    return v2.RandomApply([v2.GaussianBlur(width_px, (min(LEAST_BLUR_PX, largest_px), largest_px))])


class _PixelChange(v2.Transform):
    """A change of an image's values, whose strength is drawn between nothing and the largest one."""

    def __init__(self, largest: float) -> None:
        super().__init__()
        self.largest = largest
        self._transformed_types = (v2.functional.is_pure_tensor, tv_tensors.Image)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:  # noqa: ARG002 - torchvision's signature
        return {"strength": float(torch.rand(())) * self.largest}


class Noise(_PixelChange):
    """Additive Gaussian noise, independent per channel.

    Args:
        largest: Of the standard deviations, as a share of white.
    """

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        grain = torch.randn(inpt.shape) * (params["strength"] * 255)
        noisy = (inpt.as_subclass(Tensor) + grain).round_().clamp_(0, 255).to(torch.uint8)  # (3, h, w)
        return tv_tensors.wrap(noisy, like=inpt)


class Dropout(_PixelChange):
    """Pixels that turn black, in all channels.

    Args:
        largest: Of the shares of pixels.
    """

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        dropped = torch.rand(inpt.shape[-2:]) < params["strength"]  # (h, w)
        return tv_tensors.wrap(inpt.as_subclass(Tensor).masked_fill(dropped, 0), like=inpt)
