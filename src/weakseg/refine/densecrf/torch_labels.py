"""Labels that no pixel takes seriously, all in one: they cost as much as the others, and change nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from weakseg.refine.densecrf.problem import Weight
from weakseg.refine.densecrf.torch_problem import TensorProblem

PLAUSIBLE = 0.2  # probability before the first step, of at least one sample
_SAMPLED = 2  # every so many rows and columns are looked at


@dataclass(frozen=True, slots=True)
class Merged:
    """A problem whose last label stands for all that are nowhere plausible.

    That one is as probable as they are together, but hears no messages: pixels of implausible labels are few and weak.
    """

    problem: TensorProblem
    whole: TensorProblem
    kept: list[int]
    dropped: list[int]

    @classmethod
    def of(cls, whole: TensorProblem) -> Merged | None:
        """None: there are not two labels to merge."""
        samples = whole.logits[:, ::_SAMPLED, ::_SAMPLED].softmax(0)  # (L, h, w)
        plausible = (samples.flatten(1).amax(1) > PLAUSIBLE).tolist()
        kept = [label for label, is_plausible in enumerate(plausible) if is_plausible]
        dropped = [label for label, is_plausible in enumerate(plausible) if not is_plausible]
        if len(dropped) < 2:
            return None
        rest = whole.logits[dropped].logsumexp(0, keepdim=True)  # (1, H, W)
        kernels = replace(
            whole.kernels,
            smooth_weight=_reweighed(whole.kernels.smooth_weight, kept),
            colour_weight=_reweighed(whole.kernels.colour_weight, kept),
        )
        logits = torch.cat([whole.logits[kept], rest])  # (kept + 1, H, W)
        return cls(replace(whole, logits=logits, kernels=kernels), whole, kept, dropped)

    def expanded(self, probs: Tensor) -> Tensor:
        """(kept + 1, H, W) to (L, H, W): implausible labels share what there is as their logits say."""
        rest = self.problem.logits[-1]  # (H, W)
        found = torch.empty_like(self.whole.logits)
        found[self.kept] = probs[:-1]
        found[self.dropped] = probs[-1] * (self.whole.logits[self.dropped] - rest).exp()
        return found


def _reweighed(weight: Weight, kept: list[int]) -> Weight:
    each = weight if isinstance(weight, tuple) else None
    return (*(float(weight) if each is None else each[label] for label in kept), 0.0)  # type: ignore[arg-type]
