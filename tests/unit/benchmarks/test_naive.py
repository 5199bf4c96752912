"""The naive service around a class map that is known: what is compared must be right, too."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from captum.attr import Saliency
from PIL import Image

from benchmarks.naive import INPUT_PX, naive_answer, naive_map, naive_mask
from benchmarks.recipe import Recipe
from weakseg.card import CrfSettings
from weakseg.refine.crf import refine_with_crf
from weakseg.refine.densecrf.reference import infer_with_pydensecrf
from weakseg.refine.gaussian import smooth_map

RECIPE = Recipe(
    sigma=0.02,
    threshold=0.5,
    confidence=14.0,
    steps=5,
    smooth_sigma=0.02,
    smooth_weight=3.0,
    colour_sigma=0.1,
    colour_rgb=8.0,
    colour_weight=5.0,
)


def _red_on_the_left() -> np.ndarray:
    """80 x 60, red in the left quarter, noisy."""
    rgb = np.random.default_rng(0).integers(0, 30, (60, 80, 3), np.uint8)
    rgb[:, :20, 0] += 200
    rgb[:, 20:, 2] += 200
    return rgb


class Reddish(torch.nn.Module):
    """Label 1 is the sum of red in the left half."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        score = batch[:, 0, :, : INPUT_PX // 2].sum((1, 2))  # (B,)
        return torch.stack([score * 0 - 1e9, score], 1)


def test_the_map_is_the_gradient_of_the_best_label() -> None:
    label, class_map = naive_map(_red_on_the_left(), Saliency(Reddish()))
    assert label == 1
    expected = np.zeros((INPUT_PX, INPUT_PX), np.float32)
    expected[:, : INPUT_PX // 2] = 1
    np.testing.assert_array_equal(class_map, expected)


def test_the_mask_is_the_pipelines_own() -> None:
    """Against weakseg's steps with the reference engine: the same Gaussian, unary, kernels and steps."""
    rgb = _red_on_the_left()
    class_map = np.full((INPUT_PX, INPUT_PX), 0.2, np.float32)
    class_map[:, : INPUT_PX * 3 // 10] = 1
    mask = naive_mask(rgb, class_map, RECIPE)
    crf = CrfSettings(
        engine="pydensecrf",
        steps=5,
        smooth_sigma=0.02,
        colour_sigma=0.1,
        colour_rgb=8.0,
        smooth_weight=3,
        colour_weight=5,
    )
    smoothed = smooth_map(class_map, RECIPE.sigma, (60, 80))  # (h', w')
    restored = np.asarray(Image.fromarray(smoothed).resize((80, 60), Image.Resampling.BILINEAR))  # (H, W)
    probs = refine_with_crf(restored[None], [1.0], rgb, crf, threshold=0.5, engine=infer_with_pydensecrf)
    np.testing.assert_array_equal(mask, probs.argmax(0))
    assert mask[:, :18].all()
    assert not mask[:, 30:].any()


def test_the_answer_is_json_of_the_photos_size(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    Image.fromarray(_red_on_the_left()).save(buffer, "PNG")
    answer = json.loads(naive_answer(buffer.getvalue(), Saliency(Reddish()), RECIPE))
    assert answer["class"] == "goldfish"
    assert np.array(answer["mask"]).shape == (60, 80)
