"""One request of a batch on its way from stage to stage."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weakseg.errors import RequestError
from weakseg.failures import encode_error, encode_failure
from weakseg.finisher import Draft
from weakseg.plan import Plan
from weakseg.stopwatch import Stopwatch
from weakseg.telemetry import Telemetry
from weakseg.types import Answer, GraphOutput, RawRequest, Segmentation


@dataclass(slots=True)
class Job:
    """One request on its way: each stage adds what it made. A job with an answer is finished."""

    request: RawRequest | RequestError | None  # None once it is read: it may hold 20 MB
    watch: Stopwatch  # runs since the batch arrived
    request_id: str = ""
    plan: Plan | None = None
    output: GraphOutput | None = None  # of this photo alone, B = 1; None for naked GrabCut
    draft: Draft | None = None  # where CRFs of a batch are solved together, with its
    solution: NDArray[np.float32] | None = None  # (L, Hb, Wb)
    answer: Answer | None = None
    refine: str = ""  # in force
    foreground: float | None = None

    @property
    def is_tiled(self) -> bool:
        return self.plan is not None and self.plan.tiling is not None

    def left_s(self, deadline_s: float) -> float:
        """What is left of so many seconds since the batch arrived; negative: it is late."""
        return self.watch.started + deadline_s - time.perf_counter()

    def attempt(self, step: Callable[[Job], None]) -> None:
        """One stage; a job that fails is finished by its error."""
        try:
            step(self)
        except RequestError as error:
            self.answer = encode_error(error)
        except Exception as error:
            self.answer = encode_failure(error, self.request_id)

    def note(self, plan: Plan, segmentation: Segmentation) -> None:
        """Remember of the result what is measured."""
        self.refine = str(plan.settings.refine)
        pixels = int(np.count_nonzero(segmentation.label_map))
        self.foreground = pixels / segmentation.label_map.size

    def measured(self, method: str) -> Telemetry:
        """What this request was, once the whole batch is answered: its answer waits for the last one."""
        seconds = {name: round(spent, 6) for name, spent in self.watch.seconds.items()}
        seconds["total"] = round(self.watch.total(), 6)
        return Telemetry(seconds, method, self.refine, foreground=self.foreground, pid=os.getpid())
