"""One line per request of a load test, for figures that locust's own rounding spoils."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Sample:
    """One request; times in seconds from the start of the load."""

    due_s: float  # when it was to be sent; in a closed loop, when it was
    sent_s: float
    done_s: float
    status: int  # 0: no answer
    name: str
    fault: str  # "" where there is none


def write_samples(path: Path, samples: Iterable[Sample]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Sample)])
        writer.writeheader()
        writer.writerows(asdict(sample) for sample in samples)


def read_samples(path: Path) -> list[Sample]:
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Sample(float(row["due_s"]), float(row["sent_s"]), float(row["done_s"]), int(row["status"]), *_texts(row))
            for row in csv.DictReader(file)
        ]


def _texts(row: dict[str, str]) -> Sequence[str]:
    return row["name"], row["fault"]
