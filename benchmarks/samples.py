"""Samples to figures: what a case took, round by round, and how two cases compare."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

Case = TypeVar("Case", bound=Hashable)
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Round:
    """One stretch of load on one case."""

    latencies_ms: tuple[float, ...]  # as the client saw them
    pipeline_ms: tuple[float, ...]  # the service's own ``total`` of the same requests; empty where it tells none
    elapsed_s: float

    @property
    def throughput_per_s(self) -> float:
        return len(self.latencies_ms) / self.elapsed_s


def interleave(
    cases: Mapping[Case, Callable[[], Result]], *, rounds: int, on_step: Callable[[], None] = lambda: None
) -> dict[Case, list[Result]]:
    """Run every case once per round, A B C A B C ..., so that whatever drifts meanwhile drifts for all alike."""
    results: dict[Case, list[Result]] = {case: [] for case in cases}
    for _ in range(rounds):
        for case, run in cases.items():
            results[case].append(run())
            on_step()
    return results


def percentile(samples: Sequence[float], percent: float) -> float:
    """The smallest sample that at least ``percent`` of all samples do not exceed (nearest rank): a time that was seen.

    Args:
        percent: In (0, 100].
    Raises:
        ValueError: no samples, or percent is out of range.
    """
    if not samples or not 0 < percent <= 100:
        raise ValueError(f"percentile {percent} of {len(samples)} samples")
    rank = -int(-percent * len(samples) // 100)  # rounded up, from 1
    return sorted(samples)[rank - 1]


def paired_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """Median over rounds of one case's figure divided by the other's in the same round."""
    return statistics.median(a / b for a, b in zip(numerators, denominators, strict=True))


def pooled_latencies_ms(rounds: Sequence[Round]) -> list[float]:
    return [latency for measured in rounds for latency in measured.latencies_ms]


def pooled_throughput_per_s(rounds: Sequence[Round]) -> float:
    return len(pooled_latencies_ms(rounds)) / sum(measured.elapsed_s for measured in rounds)


def overheads_ms(rounds: Sequence[Round]) -> list[float]:
    """Per request: what passed at the client beyond the pipeline's own total."""
    return [
        latency - own
        for measured in rounds
        for latency, own in zip(measured.latencies_ms, measured.pipeline_ms, strict=True)
    ]
