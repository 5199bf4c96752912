"""Dense CRFs with PyTorch operators, for CUDA devices; on a CPU the same code stands in for the compiled engine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weakseg.errors import CrfInputError
from weakseg.options import CrfEngineName
from weakseg.refine.densecrf.problem import CrfProblem
from weakseg.refine.densecrf.torch_border import finish
from weakseg.refine.densecrf.torch_field import MeanField, probabilities
from weakseg.refine.densecrf.torch_problem import Batch, TensorProblem, plan_batches

SPACINGS = {CrfEngineName.EXACT: 1, CrfEngineName.FAST: 2, CrfEngineName.FASTEST: 3}
_LEAST_SAMPLES = 48  # along the short side: a smaller photo has every pixel sampled, or every second one

# Of the device's: a batch takes about 700 bytes per sample.
_MOST_PIXELS = 2**23
_VERTICES_PER_SAMPLE = 1.0
_ENOUGH_VERTICES_PER_SAMPLE = 6.0


class TorchEngine:
    """A `CrfEngine` on one device.

    Args:
        level: ``exact`` computes on every pixel. ``fast`` and ``fastest`` sample every second and third row and column,
            and make the last update at full resolution near borders between labels.
        static: Compute without the host waiting for the device. By default on CUDA alone: it costs room.
    """

    def __init__(self, level: CrfEngineName, device: torch.device | str = "cpu", *, static: bool | None = None) -> None:
        self.device = torch.device(device)
        self._spacing = SPACINGS[level]
        self._static = self.device.type == "cuda" if static is None else static

    def __call__(self, problems: Sequence[CrfProblem]) -> list[NDArray[np.float32]]:
        """See `weakseg.refine.densecrf.problem.CrfEngine`."""
        if not all(np.isfinite(problem.logits).all() for problem in problems):
            raise CrfInputError("logits are not finite")
        uploaded = [TensorProblem.uploaded(problem, self.device) for problem in problems]
        probs = [each.cpu().numpy() for each in self.infer_tensors(uploaded)]
        if any(np.isnan(each[0, 0, 0]) for each in probs):
            found = self.infer_tensors(uploaded, vertices_per_sample=_ENOUGH_VERTICES_PER_SAMPLE)
            probs = [each.cpu().numpy() for each in found]
        return probs

    @torch.inference_mode()
    def infer_tensors(
        self, problems: Sequence[TensorProblem], *, vertices_per_sample: float = _VERTICES_PER_SAMPLE
    ) -> list[Tensor]:
        """The same for tensors on the device: nothing leaves it, and on CUDA nobody waits for it.

        So errors are told by values: a photo whose logits are not finite is NaN everywhere, and so is a batch whose
        lattice did not fit its room.

        Args:
            vertices_per_sample: Room in the lattice; 6 is always enough, and takes the most time. Photos have 0.1 to
                0.6. Only looked at on CUDA.
        Returns:
            (L, H, W) float32 per problem, sums to 1 over L.
        """
        probs = [torch.empty(0)] * len(problems)
        most_pixels = _MOST_PIXELS if self._static else 1  # a CPU has small caches, and nothing to wait for
        for batch in plan_batches(problems, most_pixels):
            for run, found in zip(batch.runs, self._solve(batch, vertices_per_sample), strict=True):
                for number, photo_probs in zip(run.numbers, found, strict=True):
                    probs[number] = photo_probs
        return probs

    def _solve(self, batch: Batch, vertices_per_sample: float) -> list[Tensor]:
        """(n, L, H, W) of each run."""
        spacing = self._spacing_of(batch)
        field = MeanField(batch, spacing, vertices_per_sample if self._static else None)
        for _ in range(batch.problem.steps):
            field.update()
        full = spacing > 1
        logits = finish(field, static=self._static) if full else field.of_grids(field.logits)
        return [
            _poisoned(field, run.logits, probabilities(batch, part))
            for run, part in zip(batch.runs, logits, strict=True)
        ]

    def _spacing_of(self, batch: Batch) -> int:
        short_px = min(min(run.hw) for run in batch.runs)
        return max(min(self._spacing, short_px // _LEAST_SAMPLES), 1) if batch.problem.steps else 1


def _poisoned(field: MeanField, logits: Tensor, probs: Tensor) -> Tensor:
    """(n, L, H, W) probabilities, NaN where there is no answer."""
    usable = torch.isfinite(logits).flatten(1).all(1)  # (n,)
    if field.lattice is not None:
        usable = usable & field.lattice.fits
    return torch.where(usable[:, None, None, None], probs, torch.nan)
