"""What every part of `benchmarks.serving` is given."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from benchmarks.report import Row, console, progress_bar
from benchmarks.samples import Round, interleave, percentile, pooled_latencies_ms, pooled_throughput_per_s
from weakseg.archive import Archive

MASK = {"format": "mask"}
Run = Callable[[float, float], Round]  # seconds that count, seconds before them
Case = TypeVar("Case", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Setup:
    """One run of the benchmark.

    Args:
        workers: Of every service, and processes of the pipeline without one.
        rounds: Turns of each case.
        seconds: Of one turn; ``ramp_s`` before it does not count.
        cache: Folder of the rivals' environments.
        pictures: Where plots go, without suffix; None: nowhere.
    """

    archive: Archive
    photo: bytes
    workers: int
    rounds: int
    seconds: float
    ramp_s: float
    cache: Path
    pictures: Path | None

    @property
    def batch(self) -> int:
        """Photos per call of the pipeline in process: on a CPU one at a time is as quick as any batch."""
        return 1 if on_cpu() else 8

    def say(self, line: str) -> None:
        console.print(line, markup=False)

    def take_turns(self, title: str, cases: Mapping[Case, Run]) -> dict[Case, list[Round]]:
        """Every case once per round, after one short turn each that does not count."""
        with progress_bar() as progress:
            task = progress.add_task(title, total=len(cases) * (self.rounds + 1))
            step = partial(progress.advance, task)
            short = {case: partial(run, self.ramp_s, self.ramp_s) for case, run in cases.items()}
            interleave(short, rounds=1, on_step=step)
            whole = {case: partial(run, self.seconds, self.ramp_s) for case, run in cases.items()}
            return interleave(whole, rounds=self.rounds, on_step=step)


def on_cpu() -> bool:
    """No GPU that PyTorch could use; asked without loading PyTorch."""
    return not Path("/dev/nvidia0").exists() or os.environ.get("CUDA_VISIBLE_DEVICES") == ""


def load_figures(rounds: Sequence[Round]) -> Row:
    """Columns of one case in a table of throughputs; no percentile where no request fell into a window."""
    latencies = pooled_latencies_ms(rounds)
    return {
        "requests": len(latencies),
        "images/s": pooled_throughput_per_s(rounds),
        "lowest": min(each.throughput_per_s for each in rounds),
        "p50 ms": percentile(latencies, 50) if latencies else None,
        "p99 ms": percentile(latencies, 99) if latencies else None,
    }
