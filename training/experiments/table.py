"""The table of an experiment, as Markdown and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from training.experiments.plan import Plan

PERCENT = ("accuracy", "iu")  # figures with one of these words are shares


@dataclass(frozen=True, slots=True)
class Result:
    """What one row came to."""

    name: str
    says: str
    paper: float | None
    network: str
    epochs: int
    minutes: float  # of training and measuring, on this machine
    parameters: int
    gflops: float  # of one picture of the training's size
    hw: tuple[int, int]
    figures: dict[str, float]  # on the validation split, at the network's size


def write_table(plan: Plan, results: list[Result], out: Path, *, command: str, machine: dict[str, str]) -> Path:
    """``results.json`` and ``results.md`` in the experiment's folder."""
    document = {
        "title": plan.title,
        "command": command,
        "machine": machine,
        "notes": plan.notes,
        "rows": [asdict(result) for result in results],
    }
    (out / "results.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    path = out / "results.md"
    path.write_text(render(plan, results, command, machine), encoding="utf-8")
    return path


def render(plan: Plan, results: list[Result], command: str, machine: dict[str, str]) -> str:
    """Markdown: one line per row."""
    has_paper = any(result.paper is not None for result in results)
    heads = ["", *plan.figures, *([f"paper's {plan.paper_figure}"] if has_paper else [])]
    heads += ["M parameters", "GFLOPs", "epochs", "minutes"]
    lines = [f"# {plan.title}", "", f"`{command}`", ""]
    lines += [_line(heads), _line(["---"] * len(heads))]
    lines += [_line(_cells(plan, result, has_paper)) for result in results]
    lines += ["", plan.notes.strip(), "", *(f"- {name}: {value}" for name, value in machine.items()), ""]
    return "\n".join(lines)


def _cells(plan: Plan, result: Result, has_paper: bool) -> list[str]:
    figures = [_spell(name, result.figures.get(name)) for name in plan.figures]
    paper = [f"{result.paper:.2f}" if result.paper is not None else "–"] if has_paper else []
    costs = [f"{result.parameters / 1e6:.2f}", f"{result.gflops:.1f}", str(result.epochs), f"{result.minutes:.1f}"]
    return [result.says, *figures, *paper, *costs]


def _spell(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{100 * value:.2f}" if any(word in name for word in PERCENT) else f"{value:.3f}"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
