"""The service as one would quickly write it: what weakseg is compared with.

An eager torchvision SqueezeNet, torchvision's transforms, captum's Saliency, a Gaussian, pydensecrf; one photo at a
time, the mask as JSON. Fair where it can be: the same bytes in, the same network and weights, the same map, and a CRF
with the same settings and steps at the same size as weakseg's model. Nothing here imports weakseg.

The photo is shrunk by OpenCV's INTER_AREA, as weakseg does it: with torchvision's Resize, which is slower, the network
sees other pixels, and its gradients are another map altogether (correlation 0.72 on the benchmark's photo).
"""

from __future__ import annotations

import io
import json

import cv2
import numpy as np
import torch
from captum.attr import Saliency
from numpy.typing import NDArray
from PIL import Image
from pydensecrf.densecrf import DenseCRF2D
from torchvision import transforms
from torchvision.models import SqueezeNet1_1_Weights, squeezenet1_1

from benchmarks.recipe import Recipe

INPUT_PX = 224
WEIGHTS = SqueezeNet1_1_Weights.IMAGENET1K_V1

_to_tensor = transforms.Compose(
    [
        transforms.ToTensor(),
        transforms.Normalize(WEIGHTS.transforms().mean, WEIGHTS.transforms().std),
    ]
)


def load_saliency() -> Saliency:
    """captum's Saliency of SqueezeNet with torchvision's ImageNet weights."""
    network = squeezenet1_1(weights=WEIGHTS).eval()
    return Saliency(network)


def naive_answer(jpeg: bytes, saliency: Saliency, recipe: Recipe) -> bytes:
    """A picture's bytes to JSON: its best-scoring class, and the mask as a list of rows of 0 and 1."""
    rgb = np.array(Image.open(io.BytesIO(jpeg)).convert("RGB"))  # (H, W, 3)
    label, class_map = naive_map(rgb, saliency)
    mask = naive_mask(rgb, class_map, recipe)
    return json.dumps({"class": WEIGHTS.meta["categories"][label], "mask": mask.tolist()}).encode()


def naive_map(rgb: NDArray[np.uint8], saliency: Saliency) -> tuple[int, NDArray[np.float32]]:
    """The best class of (H, W, 3) uint8, and (224, 224) in [0, 1]: the largest absolute gradient over colours."""
    small = cv2.resize(rgb, (INPUT_PX, INPUT_PX), interpolation=cv2.INTER_AREA)
    batch = _to_tensor(small).unsqueeze(0)  # (1, 3, 224, 224)
    with torch.no_grad():
        label = int(saliency.forward_func(batch).argmax())
    gradient = saliency.attribute(batch.requires_grad_(), target=label, abs=True)  # (1, 3, 224, 224)
    class_map = gradient[0].amax(0).numpy()  # (224, 224)
    return label, class_map / class_map.max()


def naive_mask(rgb: NDArray[np.uint8], class_map: NDArray[np.float32], recipe: Recipe) -> NDArray[np.uint8]:
    """(H, W) of 0 and 1: the map smoothed at the photo's size, then sharpened by a dense CRF."""
    height, width = rgb.shape[:2]
    long_px = max(height, width)
    restored = cv2.resize(class_map, (width, height))
    smoothed = cv2.GaussianBlur(restored, (0, 0), recipe.sigma * long_px)
    logit = recipe.confidence * (smoothed / smoothed.max() - recipe.threshold)  # (H, W)
    energy = np.stack([np.zeros_like(logit), -logit]).reshape(2, -1)  # (2, H * W)
    crf = DenseCRF2D(width, height, 2)
    crf.setUnaryEnergy(np.ascontiguousarray(energy, np.float32))
    crf.addPairwiseGaussian(sxy=recipe.smooth_sigma * long_px, compat=recipe.smooth_weight)
    crf.addPairwiseBilateral(
        sxy=recipe.colour_sigma * long_px,
        srgb=recipe.colour_rgb,
        rgbim=rgb,
        compat=recipe.colour_weight,
    )
    probs = np.array(crf.inference(recipe.steps)).reshape(2, height, width)
    return probs.argmax(0).astype(np.uint8)  # (H, W)
