"""The four figures of a segmentation, from one confusion matrix (Long, Shelhamer & Darrell, CVPR 2015, section 5)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from weakseg.errors import ShapeMismatchError
from weakseg.voc import VOID

FIGURES = ("pixel_accuracy", "mean_accuracy", "mean_iu", "fw_iu")


class PixelScores(Metric):
    """Pixel accuracy, mean accuracy, mean IU and frequency-weighted IU over all pixels of a data set.

    n_ij pixels of class i are predicted as class j; t_i is the sum of n_ij over j. With them, pixel accuracy is
    sum n_ii / sum t_i; mean accuracy the mean of n_ii / t_i; IU of a class n_ii / (t_i + sum_j n_ji - n_ii); mean IU
    their mean; and frequency-weighted IU their mean weighted by t_i.

    Differs from the paper: a class without a true pixel is left out of every mean, as in `weakseg.evaluation`.

    Args:
        outputs: O classes, background included.
    """

    higher_is_better = True
    is_differentiable = False
    full_state_update = False
    confusion: Tensor  # (O, O) int64: rows are true classes, columns predicted ones

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs
        self.add_state("confusion", torch.zeros(outputs, outputs, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, targets: Tensor) -> None:
        """Count a batch.

        Args:
            predicted: Logits or probabilities (B, O, h, w) float, or labels (B, h, w) of any integer type in [0, O).
            targets: (B, h, w) of any integer type in [0, O), or 255 (void: counts nowhere).
        Raises:
            ShapeMismatchError: the two differ in size, or the logits have another number of classes.
            ValueError: a label or a target is out of range.
        """
        labels = self._as_labels(predicted)
        if labels.shape != targets.shape:
            raise ShapeMismatchError(f"predicted {tuple(labels.shape)} and targets {tuple(targets.shape)} differ")
        counted = targets != VOID
        pairs = targets[counted].long() * self.outputs + labels[counted].long()  # (pixels,)
        counts = torch.bincount(pairs, minlength=self.outputs**2)
        if len(counts) > self.outputs**2:
            raise ValueError(f"targets reach {int(targets[counted].max())}; {self.outputs} classes end at one less.")
        self.confusion += counts.reshape(self.outputs, self.outputs)  # (O, O)

    def _as_labels(self, predicted: Tensor) -> Tensor:
        """(B, h, w)."""
        if predicted.is_floating_point():
            if predicted.ndim != 4 or predicted.shape[1] != self.outputs:
                raise ShapeMismatchError(f"logits {tuple(predicted.shape)} are not (B, {self.outputs}, h, w)")
            return predicted.argmax(1)
        if predicted.numel() and int(predicted.max()) >= self.outputs:
            raise ValueError(f"labels reach {int(predicted.max())}; {self.outputs} classes end at one less.")
        return predicted

    def compute(self) -> dict[str, Tensor]:
        """Fractions in [0, 1], float64.

        Returns:
            ``pixel_accuracy``, ``mean_accuracy``, ``mean_iu``, ``fw_iu``: (); NaN where nothing was counted.
            ``iu``: (O,); NaN for classes without a true pixel.
        """
        hits = self.confusion.diagonal().double()  # (O,) n_ii
        true = self.confusion.sum(1).double()  # (O,) t_i
        iu = hits / (true + self.confusion.sum(0) - hits)  # (O,)
        seen = true > 0
        return {
            "pixel_accuracy": hits.sum() / true.sum(),
            "mean_accuracy": (hits / true)[seen].mean(),
            "mean_iu": iu[seen].mean(),
            "fw_iu": (true * iu)[seen].sum() / true.sum(),
            "iu": iu.masked_fill(~seen, torch.nan),
        }

    def summarise(self, classes: Sequence[str]) -> dict[str, float]:
        """`compute` as plain numbers by name: the four figures, then ``iu/background`` and ``iu/CLASS`` of each.

        Args:
            classes: O - 1 foreground names. Classes without a true pixel are left out.
        """
        figures = self.compute()
        shares = zip(("background", *classes), figures["iu"].tolist(), strict=True)
        named = {f"iu/{name}": share for name, share in shares if share == share}  # NaN differs from itself
        return {**{name: float(figures[name]) for name in FIGURES}, **named}
