"""The dense CRF engines that the shared tests hold against pydensecrf and exact sums, in one list."""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np
import skimage.data
from numpy.typing import NDArray

from benchmarks.crf_engines import CONTENDERS, LEVELS_COMPARED, Contender
from weakseg.options import CrfEngineName
from weakseg.refine.crf import unary_logits
from weakseg.refine.densecrf.problem import CrfProblem, Kernels
from weakseg.refine.densecrf.torch_engine import TorchEngine

ENGINES = [
    *CONTENDERS,
    *(
        Contender(f"torch {level}, static", level, partial(TorchEngine, level, static=True))
        for level in LEVELS_COMPARED
    ),
]
EXACT_ENGINES = [engine for engine in ENGINES if engine.level is CrfEngineName.EXACT]


def cat(hw: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W, 3): a part of scikit-image's cat with its face."""
    return cv2.resize(skimage.data.chelsea()[20:280, 60:410], hw[::-1], interpolation=cv2.INTER_AREA).astype(np.uint8)


def soft_logits(labels: int, hw: tuple[int, int], *, seed: int = 1) -> NDArray[np.float32]:
    """(L, H, W): a soft random map for each label, decided in places and open in others."""
    rng, sigma = np.random.default_rng(seed), max(max(hw) / 8, 0.5)
    maps = np.stack([cv2.GaussianBlur(rng.random(hw, np.float32), (0, 0), sigma).reshape(hw) for _ in range(labels)])
    maps = (maps - maps.min()) / max(float(np.ptp(maps)), 1e-6)
    return np.ascontiguousarray(8 * (maps - maps.mean()), np.float32)


def cat_logits(labels: int, hw: tuple[int, int]) -> NDArray[np.float32]:
    """(L, H, W): label 1 where a blob covers most of the cat, as a class map would; others soft and random."""
    rows, columns = np.mgrid[: hw[0], : hw[1]] / np.reshape(hw, (2, 1, 1))
    blob = np.exp(-((rows - 0.5) ** 2 + (columns - 0.5) ** 2) / 0.09)
    maps = np.concatenate([blob[None], np.clip(soft_logits(labels, hw)[2:] / 8 + 0.4, 0, 1)]).astype(np.float32)
    return unary_logits(maps, [0.9, *[0.5] * (len(maps) - 1)], confidence=14, threshold=0.4)


def problem(
    labels: int = 2, hw: tuple[int, int] = (24, 36), kernels: Kernels | None = None, steps: int = 5
) -> CrfProblem:
    """The cat with soft random unaries."""
    return CrfProblem(soft_logits(labels, hw), cat(hw), kernels or Kernels(1.5, 3, 8, 20, 5), steps)
