"""The service as one would quickly write it: what weakseg is compared with.

An eager torchvision SqueezeNet, torchvision's transforms, pytorch-grad-cam, OpenCV's GrabCut; one photo at a time. Fair
where it can be: the same bytes in, the same network and weights, a PNG mask of the photo's size out, and GrabCut with
the same levels and iterations at the same working size as weakseg's default. Nothing here imports weakseg.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pytorch_grad_cam import GradCAM
from torchvision import transforms
from torchvision.models import SqueezeNet1_1_Weights, squeezenet1_1

INPUT_PX = 224
WEIGHTS = SqueezeNet1_1_Weights.IMAGENET1K_V1

_to_tensor = transforms.Compose(
    [
        transforms.Resize((INPUT_PX, INPUT_PX)),
        transforms.ToTensor(),
        transforms.Normalize(WEIGHTS.transforms().mean, WEIGHTS.transforms().std),
    ]
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """weakseg's defaults, as its model card has them."""

    levels: tuple[float, float, float]  # of GrabCut
    iterations: int
    side_px: int  # GrabCut's working size: the long side at most
    threshold: float  # of the map, without GrabCut


def load_gradcam() -> GradCAM:
    """SqueezeNet with torchvision's ImageNet weights; Grad-CAM on its last convolution, made once and used again."""
    network = squeezenet1_1(weights=WEIGHTS).eval()
    return GradCAM(model=network, target_layers=[network.classifier[1]])


def naive_mask(jpeg: bytes, gradcam: GradCAM, recipe: Recipe, *, refine: bool = True) -> bytes:
    """A picture's bytes to a PNG mask of its best-scoring class: 0 and 1, the picture's own size."""
    photo = Image.open(io.BytesIO(jpeg)).convert("RGB")
    batch = _to_tensor(photo).unsqueeze(0)  # (1, 3, 224, 224)
    class_map = gradcam(input_tensor=batch, targets=None)[0]  # (224, 224), of the best-scoring class
    rgb = np.asarray(photo)  # (H, W, 3)
    if refine:
        mask = _grabcut(rgb, class_map, recipe)
    else:
        mask = (cv2.resize(class_map, photo.size) >= recipe.threshold).astype(np.uint8)  # (H, W)
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG")
    return buffer.getvalue()


def _grabcut(rgb: NDArray[np.uint8], class_map: NDArray[np.float32], recipe: Recipe) -> NDArray[np.uint8]:
    height, width = rgb.shape[:2]
    scale = min(recipe.side_px / max(height, width), 1)
    work = cv2.resize(rgb, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    restored = cv2.resize(class_map, (work.shape[1], work.shape[0]))
    t0, t1, t2 = recipe.levels
    mask = np.full(restored.shape, cv2.GC_PR_BGD, np.uint8)
    mask[restored < t0] = cv2.GC_BGD
    mask[restored >= t1] = cv2.GC_PR_FGD
    if t2 < 1:
        mask[restored >= t2] = cv2.GC_FGD
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(work, mask, (0, 0, 0, 0), *models, recipe.iterations, cv2.GC_INIT_WITH_MASK)
    return cv2.resize(mask & 1, (width, height), interpolation=cv2.INTER_NEAREST)  # (H, W)
