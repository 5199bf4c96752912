"""What a soak test measured, whether it stayed flat, and the report of it."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib

LIMIT = 0.05  # by which a median may grow
SLACK = 3  # descriptors and threads that may come beside: a connection, a thread of a pool


@dataclass(frozen=True, slots=True)
class Sample:
    at_s: float  # since the start
    requests: int  # answered so far
    values: dict[str, float]  # "PROCESS: QUANTITY" to MB or a count


@dataclass(frozen=True, slots=True)
class Verdict:
    """One quantity: medians of the first and of the last tenth of what came after the warm-up."""

    name: str
    first: float
    last: float

    @property
    def growth(self) -> float:
        return self.last / self.first - 1

    @property
    def is_flat(self) -> bool:
        slack = 0 if self.name.endswith("MB") else SLACK
        return self.last <= max(self.first * (1 + LIMIT), self.first + slack)

    def line(self) -> str:
        word = "flat" if self.is_flat else "GREW"
        return f"{self.name:32s} {self.first:9.1f} -> {self.last:9.1f}  {self.growth:+6.1%}  {word}"


def judge(samples: Sequence[Sample], warm_up_s: float) -> list[Verdict]:
    """A verdict for each quantity.

    Args:
        warm_up_s: Samples before that do not count.
    Raises:
        ValueError: no two samples are left.
    """
    after = [sample for sample in samples if sample.at_s >= warm_up_s]
    if len(after) < 2:
        raise ValueError(f"{len(after)} measurements after {warm_up_s:.0f} s: soak for longer.")
    count = max(1, len(after) // 10)
    verdicts = []
    for name in after[0].values:
        values = [sample.values[name] for sample in after]
        verdicts.append(Verdict(name, statistics.median(values[:count]), statistics.median(values[-count:])))
    return verdicts


def write_report(
    out: Path, samples: Sequence[Sample], verdicts: Sequence[Verdict], faults: Sequence[str], *, about: str
) -> None:
    """``soak.csv``, ``soak.png`` and ``soak.md``. Args: about: the command that measured."""
    out.mkdir(parents=True, exist_ok=True)
    names = list(samples[0].values)
    with (out / "soak.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["seconds", "requests", *names])
        for sample in samples:
            numbers = (f"{sample.values[name]:.1f}" for name in names)
            table.writerow([f"{sample.at_s:.1f}", sample.requests, *numbers])
    _draw(out / "soak.png", samples, names)
    (out / "soak.md").write_text(_as_markdown(samples, verdicts, faults, about), encoding="utf-8")


def _as_markdown(samples: Sequence[Sample], verdicts: Sequence[Verdict], faults: Sequence[str], about: str) -> str:
    rows = [
        f"| {v.name} | {v.first:.1f} | {v.last:.1f} | {v.growth:+.1%} | {'yes' if v.is_flat else '**no**'} |"
        for v in verdicts
    ]
    last = samples[-1]
    return "\n".join(
        [
            "# Soak",
            "",
            f"`{about}`: {last.requests:,} requests in {last.at_s / 60:.1f} minutes,",
            f"{len(faults) or 'no'} kind{'' if len(faults) == 1 else 's'} of wrong answer.",
            f"Medians of the first and the last tenth after the warm-up; flat is at most {LIMIT:.0%} more, or {SLACK}",
            "descriptors or threads.",
            "",
            "| what | first | last | growth | flat |",
            "|---|---|---|---|---|",
            *rows,
            "",
            *(f"- {fault}" for fault in faults),
            "![Memory, descriptors and threads over time](soak.png)",
            "",
        ]
    )


def _draw(path: Path, samples: Sequence[Sample], names: Sequence[str]) -> None:
    """One panel per quantity, one line per process, from zero."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    quantities = list(dict.fromkeys(name.partition(": ")[2] for name in names))
    figure, panels = pyplot.subplots(len(quantities), 1, sharex=True, figsize=(8, 2.6 * len(quantities)), squeeze=False)
    for quantity, panel in zip(quantities, panels[:, 0], strict=True):
        for name in (name for name in names if name.endswith(f": {quantity}")):
            minutes = [sample.at_s / 60 for sample in samples]
            panel.plot(minutes, [sample.values[name] for sample in samples], label=name.partition(": ")[0])
        panel.set_ylabel(quantity)
        panel.set_ylim(bottom=0)
        panel.legend(loc="lower right", fontsize="small")
    panels[-1, 0].set_xlabel("minutes")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
