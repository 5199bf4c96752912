"""Tables of a benchmark: on the console, as Markdown, and as JSON with every digit."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

console = Console(highlight=False, soft_wrap=True)

Row = Mapping[str, Any]  # column to value; every row of a table has the same columns


@dataclass(frozen=True, slots=True)
class Table:
    title: str
    rows: Sequence[Row]
    note: str = ""
    pictures: Sequence[Path] = ()  # beside the report

    def to_markdown(self) -> str:
        columns = list(self.rows[0])
        texts = [columns, *([_shown(row[column]) for column in columns] for row in self.rows)]
        widths = [max(len(text[index]) for text in texts) for index in range(len(columns))]
        numeric = [any(isinstance(row[column], (int, float)) for row in self.rows) for column in columns]
        lines = [_line(texts[0], widths, numeric), _rule(widths, numeric)]
        lines += [_line(text, widths, numeric) for text in texts[1:]]
        pictures = "\n".join(f"![{self.title}]({picture.name})" for picture in self.pictures)
        parts = [f"## {self.title}", "\n".join(lines), pictures, self.note]
        return "\n\n".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Report:
    """One run: what ran, on what, how it was set up, and what came out."""

    title: str
    machine: Mapping[str, str]
    setup: Mapping[str, str]
    tables: Sequence[Table]

    def to_markdown(self) -> str:
        facts = [f"- {name}: {value}" for name, value in {**self.machine, **self.setup}.items()]
        head = f"# {self.title}\n\n`{_command()}`\n\n" + "\n".join(facts)
        return "\n\n".join([head, *(table.to_markdown() for table in self.tables)]) + "\n"

    def to_json(self) -> str:
        document = {
            "title": self.title,
            "command": _command(),
            "machine": dict(self.machine),
            "setup": dict(self.setup),
            "tables": {table.title: [dict(row) for row in table.rows] for table in self.tables},
        }
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def publish(report: Report, out: Path | None) -> None:
    """Print a report; with ``out``, write it there as Markdown and beside it as JSON."""
    console.print(f"\n{report.to_markdown()}", markup=False)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.with_suffix(".md").write_text(report.to_markdown(), encoding="utf-8")
        out.with_suffix(".json").write_text(report.to_json(), encoding="utf-8")
        console.print(f"Wrote {out.with_suffix('.md')} and {out.with_suffix('.json')}.", markup=False)


def progress_bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console)


def _command() -> str:
    spec = sys.modules["__main__"].__spec__  # none where a file was run, not a module
    module = spec.name if spec else f"benchmarks.{Path(sys.argv[0]).stem}"
    return " ".join(["python -m", module, *sys.argv[1:]])


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
    return str(value)


def _line(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    padded = [
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(cells, widths, numeric, strict=True)
    ]
    return f"| {' | '.join(padded)} |"


def _rule(widths: Sequence[int], numeric: Sequence[bool]) -> str:
    cells = ["-" * (width - 1) + (":" if right else "-") for width, right in zip(widths, numeric, strict=True)]
    return f"| {' | '.join(cells)} |"
