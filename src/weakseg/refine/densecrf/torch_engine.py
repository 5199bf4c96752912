"""Dense CRFs with PyTorch operators, for CUDA devices; on a CPU the same code stands in for the compiled engine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weakseg.errors import CrfInputError
from weakseg.options import CrfEngineName
from weakseg.refine.densecrf.problem import CrfProblem
from weakseg.refine.densecrf.torch_border import finish
from weakseg.refine.densecrf.torch_field import MeanField, probabilities
from weakseg.refine.densecrf.torch_labels import Merged
from weakseg.refine.densecrf.torch_problem import Batch, Run, TensorProblem, plan_batches

_LEAST_SAMPLES = 64  # along the short side
_MOST_PIXELS = 2**23  # of a batch on CUDA: by count of tensors some 500 bytes per sample
_ENOUGH_VERTICES_PER_SAMPLE = 6.0  # each touches so many
_ALWAYS_ROOM = 2**16  # for vertices


@dataclass(frozen=True, slots=True)
class Sampling:
    """How coarsely a level may sample.

    Attributes:
        widest: Every so many rows and columns at most, for two labels.
        widest_of_many: For more labels, of which two are nearly as probable more often.
        least_volume: Samples in the appearance kernel's volume, sigma_px^2 x sigma_rgb^3, at least: with fewer, chance
            shows (docs/results/crf_accuracy.md).
    """

    widest: int
    widest_of_many: int
    least_volume: float

    def spacing(self, problem: TensorProblem) -> int:
        """Every so many rows and columns of this photo."""
        kernels, appearance = problem.kernels, problem.appearance()
        limits = [self.widest if problem.is_binary else self.widest_of_many, min(problem.hw) / _LEAST_SAMPLES]
        if np.any(kernels.colour_weight):
            limits.append((appearance.volume / self.least_volume) ** 0.5)
        if np.any(kernels.smooth_weight):
            limits.append(1.5 * kernels.smooth_sigma_px)
        return max(int(min(limits)), 1) if problem.steps else 1


SAMPLINGS = {
    CrfEngineName.EXACT: Sampling(1, 1, 1),
    CrfEngineName.FAST: Sampling(2, 2, 300_000),
    CrfEngineName.FASTEST: Sampling(4, 2, 40_000),
}


class TorchEngine:
    """A `CrfEngine` on one device.

    Args:
        level: ``exact`` computes on every pixel. ``fast`` and ``fastest`` sample every second to fourth row and column
            where the kernels are wide enough for it, and make the last update at full resolution near borders.
        static: Compute without the host waiting for the device. By default on CUDA alone: it takes more room and work.
    """

    def __init__(self, level: CrfEngineName, device: torch.device | str = "cpu", *, static: bool | None = None) -> None:
        self.device = torch.device(device)
        self._sampling = SAMPLINGS[level]
        self._static = self.device.type == "cuda" if static is None else static
        self._merges = level is not CrfEngineName.EXACT and not self._static

    def __call__(self, problems: Sequence[CrfProblem]) -> list[NDArray[np.float32]]:
        """See `weakseg.refine.densecrf.problem.CrfEngine`."""
        if not all(np.isfinite(problem.logits).all() for problem in problems):
            raise CrfInputError("logits are not finite")
        uploaded = [TensorProblem.uploaded(problem, self.device) for problem in problems]
        probs = _download(self.infer_tensors(uploaded))
        if any(np.isnan(each[0, 0, 0]) for each in probs):  # the lattice did not fit
            probs = _download(self.infer_tensors(uploaded, vertices_per_sample=_ENOUGH_VERTICES_PER_SAMPLE))
        return probs

    @torch.inference_mode()
    def infer_tensors(
        self, problems: Sequence[TensorProblem], *, vertices_per_sample: float | None = None
    ) -> list[Tensor]:
        """The same for tensors on the device: nothing leaves it, and on CUDA the host never waits for it.

        So errors are told by values: a photo whose logits are not finite comes back as NaN everywhere, and so does a
        whole batch whose lattice did not fit its room.

        Args:
            vertices_per_sample: Room in the lattice, on CUDA: 6 is always enough, and takes the most time. None: twice
                what photos take on average, for kernels of their width.
        Returns:
            (L, H, W) float32 per problem, sums to 1 over L.
        """
        merged = [Merged.of(problem) if self._merges and len(problem.logits) > 2 else None for problem in problems]
        solvable = [each.problem if each else problem for each, problem in zip(merged, problems, strict=True)]
        probs = self._solve_all(solvable, vertices_per_sample)
        return [each.expanded(found) if each else found for each, found in zip(merged, probs, strict=True)]

    def _solve_all(self, problems: Sequence[TensorProblem], vertices_per_sample: float | None) -> list[Tensor]:
        """(L, H, W) of each problem."""
        probs: dict[int, Tensor] = {}
        most_pixels = _MOST_PIXELS if self._static else 1  # a CPU has small caches, and gains nothing from a batch
        for batch in plan_batches(problems, self._sampling.spacing, most_pixels):
            for run, found in zip(batch.runs, self._solve(batch, vertices_per_sample), strict=True):
                probs.update(zip(run.numbers, found.unbind(0), strict=True))
        return [probs[number] for number in range(len(problems))]

    def _solve(self, batch: Batch, vertices_per_sample: float | None) -> list[Tensor]:
        """(n, L, H, W) of each run."""
        field = MeanField(batch, _room(batch, vertices_per_sample) if self._static else None)
        for _ in range(batch.problem.steps):
            field.update()
        logits = finish(field, static=self._static) if batch.spacing > 1 else field.of_grids(field.logits)
        return [_marked(field, run, probabilities(batch, part)) for run, part in zip(batch.runs, logits, strict=True)]


def _room(batch: Batch, vertices_per_sample: float | None) -> int:
    """How many vertices a batch's lattice has room for. What photos take was measured on VOC's."""
    if vertices_per_sample is None:
        volume = min(run.appearance.volume for run in batch.runs) / batch.spacing**2  # in samples
        vertices_per_sample = 0.5 * (3.5e6 / volume) ** 0.6  # photos: 0.25 where this is 0.5, 1 where it is 3.2
    samples = sum(run.photos * math.prod(math.ceil(length / batch.spacing) for length in run.hw) for run in batch.runs)
    return max(math.ceil(min(vertices_per_sample, _ENOUGH_VERTICES_PER_SAMPLE) * samples), _ALWAYS_ROOM)


def _marked(field: MeanField, run: Run, probs: Tensor) -> Tensor:
    """(n, L, H, W) probabilities, NaN where they are no answer."""
    usable = torch.isfinite(run.logits).flatten(1).all(1)  # (n,)
    if field.lattice is not None:
        usable = usable & field.lattice.fits
    return torch.where(usable[:, None, None, None], probs, torch.nan)


def _download(tensors: Sequence[Tensor]) -> list[NDArray[np.float32]]:
    """Each an array of its own."""
    return [tensor.cpu().contiguous().numpy() for tensor in tensors]
