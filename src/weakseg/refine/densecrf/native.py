"""The compiled CRF engine (src/native/crf.h), on one or several cores."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weakseg.errors import CrfInputError
from weakseg.refine.compiled import native
from weakseg.refine.densecrf.levels import Level, narrowest_kernels
from weakseg.refine.densecrf.problem import CrfProblem, Weight


@dataclass(frozen=True, slots=True)
class NativeCrf:
    """See `weakseg.refine.densecrf.problem.CrfEngine`.

    Attributes:
        level: How exact.
        threads: Problems that run side by side; each runs on one core, without the interpreter's lock.
    """

    level: Level
    threads: int = 1

    def __call__(self, problems: Sequence[CrfProblem]) -> list[NDArray[np.float32]]:
        if self.threads == 1 or len(problems) == 1:
            return [self._infer(problem) for problem in problems]
        with ThreadPoolExecutor(self.threads) as pool:
            return list(pool.map(self._infer, problems))

    def _infer(self, problem: CrfProblem) -> NDArray[np.float32]:
        kernels = narrowest_kernels(problem)
        probs = np.zeros(problem.logits.shape, np.float32)
        assert native is not None, "the compiled part was not built; see weakseg.refine.densecrf.engines"
        is_finite = native.infer_crf(
            np.ascontiguousarray(problem.logits, np.float32),
            np.ascontiguousarray(problem.rgb),
            kernels.smooth_sigma_px,
            kernels.colour_sigma_px,
            kernels.colour_rgb,
            _each(kernels.smooth_weight, len(probs)),
            _each(kernels.colour_weight, len(probs)),
            problem.steps,
            self.level.stride(problem),
            self.level.sparse,
            self.level.plausible if problem.steps else 0.0,
            self.level.sure,
            probs,
        )
        if not is_finite:
            raise CrfInputError("logits are not finite")
        return probs  # (L, H, W)


def _each(weight: Weight, labels: int) -> NDArray[np.float32]:
    return np.ascontiguousarray(np.broadcast_to(np.asarray(weight, np.float32), labels))  # (L,)
