"""The four figures: worked out by hand, and against torchmetrics and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, jaccard_score, recall_score
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from training.masks.metrics import PixelScores
from weakseg.errors import ShapeMismatchError


def test_figures_by_hand() -> None:
    """n = [[3, 1], [2, 4]] over two updates, and a void pixel that counts nowhere."""
    scores = PixelScores(2)
    scores.update(torch.tensor([[[0, 0, 0], [1, 1, 1]]]), torch.tensor([[[0, 0, 0], [0, 1, 1]]]))
    scores.update(torch.tensor([[[0, 0, 1, 1, 1]]]), torch.tensor([[[1, 1, 1, 1, 255]]], dtype=torch.uint8))
    assert scores.confusion.tolist() == [[3, 1], [2, 4]]
    figures = scores.compute()
    assert figures["pixel_accuracy"] == pytest.approx(7 / 10)
    assert figures["mean_accuracy"] == pytest.approx((3 / 4 + 4 / 6) / 2)
    assert figures["iu"].tolist() == pytest.approx([3 / 6, 4 / 7])
    assert figures["mean_iu"] == pytest.approx((3 / 6 + 4 / 7) / 2)
    assert figures["fw_iu"] == pytest.approx((4 * 3 / 6 + 6 * 4 / 7) / 10)


def test_a_class_without_true_pixels_is_in_no_mean() -> None:
    scores = PixelScores(3)
    scores.update(torch.tensor([[[0, 2, 1, 1]]]), torch.tensor([[[0, 0, 1, 1]]]))
    figures = scores.compute()
    assert figures["iu"][:2].tolist() == [0.5, 1.0]
    assert figures["iu"][2].isnan()
    assert figures["mean_iu"] == 0.75
    assert figures["mean_accuracy"] == 0.75
    assert scores.summarise(["hair", "skin"]) == {
        "pixel_accuracy": 0.75,
        "mean_accuracy": 0.75,
        "mean_iu": 0.75,
        "fw_iu": 0.75,
        "iu/background": 0.5,
        "iu/hair": 1.0,
    }


def test_figures_agree_with_torchmetrics_and_scikit_learn() -> None:
    random = torch.Generator().manual_seed(4)
    logits = torch.randn(3, 4, 13, 17, generator=random)
    targets = torch.randint(0, 4, (3, 13, 17), generator=random).to(torch.uint8)
    targets[:, 5:8] = 255
    scores = PixelScores(4)
    for row in range(3):
        scores.update(logits[row : row + 1], targets[row : row + 1])
    figures = scores.compute()
    integers = targets.long()
    for name, oracle in {
        "pixel_accuracy": MulticlassAccuracy(4, average="micro", ignore_index=255),
        "mean_accuracy": MulticlassAccuracy(4, average="macro", ignore_index=255),
        "mean_iu": MulticlassJaccardIndex(4, average="macro", ignore_index=255),
        "fw_iu": MulticlassJaccardIndex(4, average="weighted", ignore_index=255),
        "iu": MulticlassJaccardIndex(4, average="none", ignore_index=255),
    }.items():
        torch.testing.assert_close(figures[name].float(), oracle(logits, integers))
    true, predicted = targets[targets != 255].numpy(), logits.argmax(1)[targets != 255].numpy()
    np.testing.assert_array_equal(scores.confusion, confusion_matrix(true, predicted))
    assert figures["mean_iu"] == pytest.approx(jaccard_score(true, predicted, average="macro"), abs=1e-12)
    assert figures["mean_accuracy"] == pytest.approx(recall_score(true, predicted, average="macro"), abs=1e-12)


def test_reset_forgets_and_nothing_counted_is_no_number() -> None:
    scores = PixelScores(2)
    scores.update(torch.tensor([[[0, 1]]]), torch.tensor([[[0, 1]]]))
    scores.reset()
    scores.update(torch.zeros(1, 1, 2, dtype=torch.uint8), torch.full((1, 1, 2), 255, dtype=torch.uint8))
    assert scores.compute()["pixel_accuracy"].isnan()


def test_what_does_not_fit_is_refused() -> None:
    scores = PixelScores(2)
    with pytest.raises(ShapeMismatchError, match=r"\(1, 3, 2, 2\)"):
        scores.update(torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 2, dtype=torch.uint8))
    with pytest.raises(ShapeMismatchError, match=r"\(1, 2, 3\)"):
        scores.update(torch.zeros(1, 2, 2, 3), torch.zeros(1, 3, 2, dtype=torch.uint8))
    with pytest.raises(ValueError, match="targets reach 2"):
        scores.update(torch.zeros(1, 2, 1, 2), torch.tensor([[[0, 2]]]))
    with pytest.raises(ValueError, match="labels reach 5"):
        scores.update(torch.tensor([[[0, 5]]]), torch.tensor([[[0, 0]]]))
    assert scores.confusion.sum() == 0
