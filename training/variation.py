"""Random changes of photos while a network learns, and of their masks with them where there are some.

The list of the LFW paper (crop, flip, Gaussian blur, dropout, additive Gaussian noise, affine) and colour jitter, as
transforms of torchvision: what moves pixels moves a `tv_tensors.Mask` along, by nearest neighbours; `Crop`
says where theirs are not the nearest.
"""

from __future__ import annotations

from typing import Any

import cv2
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision import tv_tensors
from torchvision.transforms import v2

from training.recipe import Recipe
from weakseg.voc import VOID

OUTSIDE = {torch.Tensor: 124, tv_tensors.Image: 124, tv_tensors.Mask: VOID}  # what an affine change brings in
LEAST_BLUR_PX = 0.1  # below, a blur changes nothing


def build_variation(recipe: Recipe) -> v2.Transform:
    """The recipe's random changes of an image (3, H, W) uint8, which end in the network's size.

    Without ``crop``, the image must have that size already. In a mask (H, W) beside it, pixels that come from outside
    of the photo are void.
    """
    steps: list[v2.Transform] = [v2.Identity()]
    if recipe.crop is not None:
        steps.append(Crop(recipe.input_hw, scale=recipe.crop, antialias=True))
    if recipe.flip:
        steps.append(v2.RandomHorizontalFlip())
    if recipe.turn or recipe.shift or recipe.zoom:
        steps.append(_affine(recipe))
    if recipe.jitter:
        strength = recipe.jitter
        steps.append(v2.ColorJitter(strength, strength, strength))
    if recipe.blur:
        steps.append(v2.RandomApply([Blur(recipe.blur)]))
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


class Crop(v2.RandomResizedCrop):
    """Random resized crop, whose masks have the value at each pixel's centre, as `training.masks.maskset.squash_mask`.

    torchvision takes that of the upper left corner instead: of a mask that shrinks, all moves to the lower right, by
    half a pixel at most. Images, and what is drawn at random, are as there.
    """

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if not isinstance(inpt, tv_tensors.Mask):
            return super().transform(inpt, params)
        part = v2.functional.crop(inpt, **params).as_subclass(Tensor)  # (H', W')
        resized = F.interpolate(part[None, None], self.size, mode="nearest-exact")[0, 0]  # (h, w)
        return tv_tensors.wrap(resized, like=inpt)


class _PixelChange(v2.Transform):
    """A change of an image's values, whose strength is drawn between nothing and the largest one."""

    def __init__(self, largest: float) -> None:
        super().__init__()
        self.largest = largest
        self._transformed_types = (v2.functional.is_pure_tensor, tv_tensors.Image)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:  # noqa: ARG002 - torchvision's signature
        return {"strength": float(torch.rand(())) * self.largest}


class Blur(_PixelChange):
    """Gaussian blur, by OpenCV: torchvision's takes three times as long on one core.

    Args:
        largest: Of the sigmas, in pixels.
    """

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if params["strength"] < LEAST_BLUR_PX:
            return inpt
        rgb = inpt.as_subclass(Tensor).permute(1, 2, 0).contiguous().numpy()  # (h, w, 3)
        blurred = torch.from_numpy(cv2.GaussianBlur(rgb, (0, 0), params["strength"])).permute(2, 0, 1)  # (3, h, w)
        return tv_tensors.wrap(blurred.contiguous(), like=inpt)


class Noise(_PixelChange):
    """Additive Gaussian noise, independent per channel.

    Args:
        largest: Of the standard deviations, as a share of white.
    """

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        grain = torch.randn(inpt.shape).mul_(params["strength"] * 255)
        noisy = grain.add_(inpt.as_subclass(Tensor)).round_().clamp_(0, 255).to(torch.uint8)  # (3, h, w)
        return tv_tensors.wrap(noisy, like=inpt)


class Dropout(_PixelChange):
    """Pixels that turn black, in all channels.

    Args:
        largest: Of the shares of pixels.
    """

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        dropped = torch.rand(inpt.shape[-2:]) < params["strength"]  # (h, w)
        return tv_tensors.wrap(inpt.as_subclass(Tensor).masked_fill(dropped, 0), like=inpt)
