"""Random changes of photos, one by one."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from tests.helpers.drawn_photos import tiny_recipe
from training.recipe import Recipe
from training.variation import Blur, Dropout, Noise, build_variation, vary

PLAIN = {"crop": None, "flip": False, "jitter": 0.0}
HW = (60, 84)


def recipe(**changes: object) -> Recipe:
    return tiny_recipe(**{**PLAIN, **changes})


def grey(value: int = 100) -> Tensor:
    return torch.full((3, *HW), value, dtype=torch.uint8)


def test_noise_has_the_drawn_deviation_and_no_mean() -> None:
    found = [(vary(Noise(0.2), seed, grey()).float() - 100) for seed in range(20)]
    deviations = torch.tensor([float(noise.std()) for noise in found])
    assert 0 < deviations.min() < deviations.max() < 0.2 * 255 * 1.05
    assert deviations.max() > 0.1 * 255
    assert all(abs(noise.mean()) < 2 for noise in found)
    assert not torch.equal(found[0][0], found[0][1])  # independent per channel


def test_dropout_blackens_at_most_its_share_in_all_channels() -> None:
    found = [vary(Dropout(0.3), seed, grey()) for seed in range(20)]
    shares = [float((image == 0).float().mean()) for image in found]
    assert max(shares) < 0.33
    assert max(shares) > 0.15
    for image in found:
        assert set(image.unique().tolist()) <= {0, 100}
        assert torch.equal(image[0], image[2])


def test_blur_is_opencv_s_of_the_drawn_sigma() -> None:
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, *HW), np.uint8))
    blurred = vary(Blur(2.0), 4, image)
    torch.manual_seed(4)
    sigma_px = float(torch.rand(())) * 2
    expected = cv2.GaussianBlur(np.ascontiguousarray(image.permute(1, 2, 0).numpy()), (0, 0), sigma_px)
    np.testing.assert_array_equal(blurred.permute(1, 2, 0), expected)


@pytest.mark.parametrize("change", [Noise(0.5), Dropout(0.5), Blur(2.0)])
def test_pixel_changes_keep_kinds_and_leave_their_input(change: torch.nn.Module) -> None:
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, *HW), np.uint8))
    before, mask = image.clone(), tv_tensors.Mask(torch.ones(HW, dtype=torch.uint8))
    varied, same = vary(change, 1, tv_tensors.Image(image), mask)
    assert isinstance(varied, tv_tensors.Image)
    assert varied.shape == image.shape
    assert varied.dtype == torch.uint8
    assert torch.equal(same, mask)
    assert torch.equal(image, before)
    assert torch.equal(vary(change, 1, image), varied.as_subclass(Tensor))  # the same with and without a mask


def test_affine_moves_by_at_most_its_share() -> None:
    mask = tv_tensors.Mask(torch.zeros(HW, dtype=torch.uint8))
    for seed in range(10):
        _, moved = vary(build_variation(recipe(shift=0.25)), seed, tv_tensors.Image(grey()), mask)
        rows, columns = (moved == 0).any(1).sum(), (moved == 0).any(0).sum()
        assert rows >= HW[0] * 0.75 - 1
        assert columns >= HW[1] * 0.75 - 1


def test_zoom_alone_scales_about_the_centre() -> None:
    mask = torch.zeros(HW, dtype=torch.uint8)
    mask[20:40, 32:52] = 1  # 400 pixels
    for seed in range(10):
        _, scaled = vary(
            build_variation(recipe(zoom=(0.5, 2.0))), seed, tv_tensors.Image(grey()), tv_tensors.Mask(mask)
        )
        assert 80 < (scaled == 1).sum() < 1760
        assert scaled[30, 42] == 1


def test_a_crop_does_not_move_the_mask_against_the_photo() -> None:
    """A disc, shrunk to a third: its centre in the photo (by brightness) and in the mask, in pixels of the result."""
    y, x = np.mgrid[:180, :252]
    disc = torch.from_numpy(((y - 90) ** 2 + (x - 126) ** 2 < 30**2).astype(np.uint8))  # (180, 252)
    variation = build_variation(recipe(crop=(0.9, 1.0), input_hw=HW))
    offsets = []
    for seed in range(8):
        photo, mask = vary(variation, seed, tv_tensors.Image(disc.expand(3, -1, -1) * 200), tv_tensors.Mask(disc))
        assert mask.dtype == torch.uint8
        assert set(mask.unique().tolist()) == {0, 1}
        offsets.append([_centre(mask.float()) - _centre(photo[0].float())])
    assert np.abs(np.mean(offsets, axis=0)).max() < 0.1


def test_a_crop_draws_and_shows_what_torchvision_s_does() -> None:
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 90, 70), np.uint8))
    theirs = v2.RandomResizedCrop(HW, scale=(0.4, 1.0), antialias=True)
    ours = build_variation(recipe(crop=(0.4, 1.0), input_hw=HW))
    for seed in range(3):
        assert torch.equal(vary(ours, seed, image), vary(theirs, seed, image))


def _centre(weights: Tensor) -> np.ndarray:
    """(h, w) to (y, x)."""
    total = weights.sum()
    y, x = ((weights.sum(axis) * torch.arange(weights.shape[1 - axis])).sum() / total for axis in (1, 0))
    return np.array([float(y), float(x)])


def test_what_is_not_asked_for_does_nothing() -> None:
    image = grey()
    assert torch.equal(vary(build_variation(recipe()), 3, image), image)


def test_ranges_have_their_least_first() -> None:
    for name in ("crop", "zoom", "paste_size"):
        with pytest.raises(ValueError, match="least comes first"):
            recipe(**{name: (0.9, 0.5)})
