"""The loss in every pixel by hand, what it leaves out, and the pictures."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from training.samples import HEIGHT_PX, draw_labels
from training.tasks import Pixels, dice_loss
from weakseg.voc import palette

CLASSES = ("hair", "skin")
VOID = 255


def logits_of(odds: list[list[tuple[float, float, float]]]) -> torch.Tensor:
    """(h, w) odds of background, hair and skin to (1, 3, h, w) logits."""
    return torch.tensor(odds).log().permute(2, 0, 1)[None]


def test_cross_entropy_is_the_mean_over_the_known_pixels() -> None:
    outputs = logits_of([[(1, 1, 2), (3, 1, 1), (1, 1, 1)]])
    targets = torch.tensor([[[2, 0, VOID]]], dtype=torch.uint8)
    (loss,) = Pixels(CLASSES).loss(outputs, targets).tolist()
    assert loss == pytest.approx((math.log(4 / 2) + math.log(5 / 3)) / 2)


def test_a_photo_without_any_known_pixel_costs_nothing_and_teaches_nothing() -> None:
    outputs = torch.randn(2, 3, 4, 5, requires_grad=True)
    targets = torch.full((2, 4, 5), VOID, dtype=torch.uint8)
    targets[1, 0, 0] = 1
    loss = Pixels(CLASSES, dice=0.5).loss(outputs, targets)
    loss[0].backward(retain_graph=True)
    assert loss[0].item() == pytest.approx(0)
    assert outputs.grad is not None
    assert outputs.grad.abs().max() == 0
    loss[1].backward()
    assert outputs.grad[1, :, 0, 0].abs().min() > 0
    assert outputs.grad[1, :, 1:].abs().max() == 0


def test_dice_by_hand() -> None:
    """Two pixels, the truth is background and hair; smoothed by one in numerator and denominator."""
    outputs = logits_of([[(3, 1, 4), (1, 2, 1)]])  # (3, 1, 4) / 8 and (1, 2, 1) / 4
    labels, known = torch.tensor([[[0, 1]]]), torch.ones(1, 1, 2, dtype=torch.bool)
    each = [
        1 - (2 * 3 / 8 + 1) / (3 / 8 + 1 / 4 + 1 + 1),
        1 - (2 * 1 / 2 + 1) / (1 / 8 + 1 / 2 + 1 + 1),
        1 - 1 / (4 / 8 + 1 / 4 + 1),
    ]
    assert dice_loss(outputs, labels, known).tolist() == pytest.approx([sum(each) / 3])
    plain, both = (Pixels(CLASSES, dice=weight).loss(outputs, labels.to(torch.uint8)) for weight in (0.0, 0.5))
    assert (both - plain).tolist() == pytest.approx([sum(each) / 6])


def test_figures_are_the_paper_s_and_those_of_single_classes_are_told_apart() -> None:
    task = Pixels(CLASSES)
    metric = task.metric()
    outputs = logits_of([[(9, 1, 1), (1, 9, 1), (1, 9, 1), (9, 1, 1)]])
    task.update(metric, outputs, torch.tensor([[[0, 1, 0, VOID]]], dtype=torch.uint8))
    figures = task.summarise(metric)
    assert figures == {
        "pixel_accuracy": pytest.approx(2 / 3),
        "mean_accuracy": pytest.approx((1 / 2 + 1) / 2),
        "mean_iu": pytest.approx((1 / 2 + 1 / 2) / 2),
        "fw_iu": pytest.approx(1 / 2),
        "iu/background": pytest.approx(1 / 2),
        "iu/hair": pytest.approx(1 / 2),
    }
    assert task.watched in figures


class _ByBrightness(torch.nn.Module):
    """Hair where it is dark."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        dark = -images.mean(1, keepdim=True)  # (B, 1, h, w)
        return torch.cat([torch.zeros_like(dark), dark, torch.full_like(dark, -9)], 1)


def test_photo_truth_and_prediction_stand_side_by_side() -> None:
    photo = np.zeros((40, 60, 3), np.uint8)
    images = torch.ones(1, 3, 20, 30)
    images[..., :15] = -1  # dark on the left
    truth = torch.zeros(1, 20, 30, dtype=torch.uint8)
    truth[:, :10] = 2
    (picture,) = Pixels(CLASSES).draw(_ByBrightness(), images, [photo], truth)
    width = HEIGHT_PX * 60 // 40
    assert picture.shape == (HEIGHT_PX, 3 * width, 3)
    hair, skin = (palette()[value] / 2 for value in (1, 2))
    np.testing.assert_allclose(picture[60, width + 100], skin, atol=1)
    np.testing.assert_allclose(picture[120, width + 100], 0, atol=1)
    np.testing.assert_allclose(picture[60, 2 * width + 20], hair, atol=1)
    np.testing.assert_allclose(picture[120, 3 * width - 20], 0, atol=1)


def test_void_is_almost_white() -> None:
    picture = draw_labels(np.full((40, 60, 3), 255, np.uint8), {"truth": np.full((4, 6), VOID, np.uint8)})
    assert (picture[60:, 240:] == [240, 240, 224]).all()
