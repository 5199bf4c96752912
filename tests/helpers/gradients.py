"""Networks, images and oracles for tests of gradients."""

from __future__ import annotations

import numpy as np
import torch
from skimage import data
from skimage.transform import resize
from torch import Tensor, nn

from weakseg.models.classifier import IMAGENET_MEAN, IMAGENET_STD, build_network

CLASSES = 7


def random_network(name: str, dtype: torch.dtype = torch.float32) -> nn.Module:
    """A torchvision network, or one of ours, with random weights and statistics, in eval mode.

    AlexNet, VGG16 and VGG16-FCN get narrow hidden layers: the same operators, at a hundredth of the memory.
    """
    torch.manual_seed(0)
    model = build_network(name, CLASSES)
    if name == "vgg16_fcn":
        model = _narrow(model)
    if name in ("alexnet", "vgg16"):
        cells = 256 * 6 * 6 if name == "alexnet" else 512 * 7 * 7
        model.classifier = nn.Sequential(
            nn.Dropout(), nn.Linear(cells, 64), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(64, CLASSES)
        )
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model.to(dtype).eval()


def _narrow(model: nn.Module) -> nn.Module:
    """Our VGG16-FCN with 64 channels where it has 4096."""
    model.fc6 = nn.Conv2d(512, 64, 7, padding=3)
    model.fc7 = nn.Conv2d(64, 64, 1)
    model.head = nn.Conv2d(64, CLASSES, 1)
    return model


def noise(batch: int, hw: tuple[int, int], dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    """(B, 3, h, w)."""
    return torch.randn(batch, 3, *hw, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def photos(batch: int, hw: tuple[int, int], dtype: torch.dtype = torch.float32) -> Tensor:
    """A cat, the whole and then closer and closer, normalised: (B, 3, h, w)."""
    rgb = data.chelsea() / 255.0  # (300, 451, 3)
    crops = [resize(rgb[20 * step :, 30 * step :], hw, anti_aliasing=True) for step in range(batch)]
    pixels = (np.stack(crops) - IMAGENET_MEAN) / IMAGENET_STD  # (B, h, w, 3)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).to(dtype).contiguous()


def random_seeds(batch: int, passes: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """(B, K, C): the first pass explains one class per image, the others mix all."""
    seeds = torch.randn(batch, passes, CLASSES, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    seeds[:, 0] = torch.eye(CLASSES, dtype=torch.float64)[torch.arange(batch) % CLASSES]
    return seeds.to(dtype)


def autograd_gradients(model: nn.Module, images: Tensor, seeds: Tensor) -> Tensor:
    """The oracle: K backward passes, one after the other; (B, K, 3, h, w)."""
    images = images.detach().requires_grad_(True)
    logits = model(images)  # (B, C)
    gradients = [
        torch.autograd.grad((logits * seeds[:, index]).sum(), images, retain_graph=True)[0]
        for index in range(seeds.shape[1])
    ]
    return torch.stack(gradients, 1)


def difference(found: Tensor, expected: Tensor) -> float:
    """The largest difference, relative to the largest gradient."""
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max())
