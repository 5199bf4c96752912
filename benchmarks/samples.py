"""Samples to figures: what a case took, round by round, and how two cases compare."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

Case = TypeVar("Case", bound=Hashable)
Result = TypeVar("Result")


class Exchange(NamedTuple):
    """One request and its answer; times in seconds from the start of its round."""

    due_s: float  # when it was to be sent; in a closed loop, when it was
    sent_s: float
    done_s: float
    status: int
    pipeline_ms: float | None = None  # the service's own ``total``; None where it tells none

    @property
    def latency_ms(self) -> float:
        return (self.done_s - self.due_s) * 1000


@dataclass(frozen=True, slots=True)
class Round:
    """One stretch of load on one case.

    Args:
        exchanges: Those that were due within the window; answered or not.
        answered: How many were answered with 200 within the window: one that straddles an edge counts by the share of
            its time that lies inside, so that batches, which come in bursts, do not round the figure.
        elapsed_s: Length of the window.
        cpu_s: Seconds of CPU by process, over the whole stretch of load; see `whole`.
        whole: Requests of the whole stretch, the window's and those before it.
    """

    exchanges: tuple[Exchange, ...]
    answered: float
    elapsed_s: float
    cpu_s: Mapping[str, float] = field(default_factory=dict)
    whole: int = 0

    @property
    def throughput_per_s(self) -> float:
        return self.answered / self.elapsed_s

    @property
    def latencies_ms(self) -> list[float]:
        """Of those answered with 200."""
        return [exchange.latency_ms for exchange in self.exchanges if exchange.status == 200]

    @property
    def lateness_ms(self) -> float:
        """By how much the client itself was late, at the most; large values are the client's fault."""
        return max(((each.sent_s - each.due_s) * 1000 for each in self.exchanges), default=0.0)


def make_round(exchanges: Sequence[Exchange], from_s: float, until_s: float) -> Round:
    """A round's figures out of everything that was sent, for the window between two moments."""
    shares = (_share_within(each, from_s, until_s) for each in exchanges if each.status == 200)
    within = tuple(each for each in exchanges if from_s <= each.due_s < until_s)
    return Round(within, sum(shares), until_s - from_s, whole=len(exchanges))


def _share_within(each: Exchange, from_s: float, until_s: float) -> float:
    inside_s = min(each.done_s, until_s) - max(each.sent_s, from_s)
    return max(inside_s, 0.0) / (each.done_s - each.sent_s)


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


def throughput_ratio(rounds: Sequence[Round], others: Sequence[Round]) -> float:
    """`paired_ratio` of two cases' throughputs."""
    return paired_ratio(*([each.throughput_per_s for each in case] for case in (rounds, others)))


def pooled_latencies_ms(rounds: Sequence[Round]) -> list[float]:
    return [latency for measured in rounds for latency in measured.latencies_ms]


def pooled_throughput_per_s(rounds: Sequence[Round]) -> float:
    return sum(measured.answered for measured in rounds) / sum(measured.elapsed_s for measured in rounds)


def cpu_ms_per_request(rounds: Sequence[Round]) -> dict[str, float]:
    """Milliseconds of CPU per request, by process, over all rounds."""
    requests = sum(measured.whole for measured in rounds)
    names = dict.fromkeys(name for measured in rounds for name in measured.cpu_s)
    return {name: 1000 * sum(each.cpu_s.get(name, 0.0) for each in rounds) / requests for name in names}


def overheads_ms(rounds: Sequence[Round]) -> list[float]:
    """Per request: what passed at the client beyond the pipeline's own total, where the service tells it."""
    return [
        each.latency_ms - each.pipeline_ms
        for measured in rounds
        for each in measured.exchanges
        if each.status == 200 and each.pipeline_ms is not None
    ]
