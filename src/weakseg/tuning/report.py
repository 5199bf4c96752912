"""What a search leaves: tuned.yaml for an archive; tune.json, tune.md and tune.png for readers."""

from __future__ import annotations

import json
import shlex
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from weakseg.card import ModelCard
from weakseg.evaluation.metrics import score
from weakseg.evaluation.results import Document
from weakseg.options import Refine
from weakseg.tuning.grid import STEPS, Axis, Point, key_of, show_value, tune_card
from weakseg.tuning.plots import draw_axes
from weakseg.tuning.search import STEPS_MARGIN, Scoreboard, cross_validate

MOST_ROWS = 200  # of the table of points; tune.json has all


def write_report(
    folder: Path,
    card: ModelCard,
    refine: Refine,
    axes: Sequence[Axis],
    board: Scoreboard,
    winner: Point,
    facts: Document,
) -> Document:
    """Write all four files into ``folder``.

    Args:
        facts: What the document says beside its numbers.
    Returns:
        The document: fractions in [0, 1].
    """
    folder.mkdir(parents=True, exist_ok=True)
    document: Document = {
        **facts,
        "over": list(board.over),
        "axes": {axis.name: list(axis.values) for axis in axes},
        "winner": _summarise(board, winner),
        "cross_validated_miou": round(cross_validate(board, facts["folds"]), 6),
        "points": [_summarise(board, point) for point in board.points.values()],
    }
    (folder / "tune.json").write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    tuned = tune_card(card, refine, winner)
    (folder / "tuned.yaml").write_text(render_yaml(document, tuned), encoding="utf-8")
    draw_axes(document, folder / "tune.png")
    (folder / "tune.md").write_text(render_page(document, tuned), encoding="utf-8")
    return document


def _summarise(board: Scoreboard, point: Point) -> Document:
    scores = score(board.counts[key_of(point)].sum(axis=0), board.over)
    times_ms = board.times_ms[key_of(point)]
    return {
        "point": dict(point),
        "miou": scores.miou,
        "precision": scores.precision,
        "recall": scores.recall,
        "f1": scores.f1,
        "median_ms": round(statistics.median(times_ms), 1) if times_ms else None,
    }


def render_yaml(document: Document, tuned: ModelCard) -> str:
    """Card fields for ``python -m export --card``; the comment says where they come from."""
    fields: dict[str, Any] = {"photo_task": tuned.photo_task.model_dump(mode="json")}
    if document["new_refine_side"] is not None:
        sides = ("refine_side", "guided_side", "crf_side", "grabcut_side")
        fields = {**{name: getattr(tuned, name) for name in sides}, **fields}
    head = (
        f"# {document['model']} {document['version']}, {document['images']} photos of {document['split']}:"
        f" mIoU {document['winner']['miou']:.1%}, cross-validated {document['cross_validated_miou']:.1%}\n"
        f"# {document['command']}\n"
    )
    return head + yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=120)


def render_page(document: Document, tuned: ModelCard) -> str:
    """The report as Markdown, in percent."""
    ranked = sorted(document["points"], key=lambda row: -row["miou"])
    shown = ranked[:MOST_ROWS]
    left_out = f" The best {len(shown)} of {len(ranked)}; tune.json has all." if len(ranked) > len(shown) else ""
    parts = [
        f"# {document['refine']} for {document['model']} {document['version']}, tuned on {document['split']}",
        f"```\n{document['command']}\n```",
        _render_facts(document),
        "## Winner",
        _table([document["winner"]], document["axes"]),
        f"Cross-validated over {document['folds']} folds: **{document['cross_validated_miou']:.1%}**. Each fold is"
        " scored at the point that is best on the others. The points themselves were found on all photos.",
        "To try it: `" + _try_it(document, tuned) + "`. To carry it: `python -m export ... --card tuned.yaml`.",
        f"## Points\n\nBest first.{left_out}",
        _table(shown, document["axes"]),
        "![mIoU of each value, others at their best](tune.png)",
    ]
    return "\n\n".join(parts) + "\n"


def _render_facts(document: Document) -> str:
    side = f" Refined at a long side of {document['refine_side']} px." if document["refine_side"] else ""
    steps = (
        f" The fewest steps win whose mIoU is within {100 * STEPS_MARGIN:.1f} points."
        if STEPS in document["axes"]
        else ""
    )
    return (
        f"{document['images']} photos, classes given (known tags); mean over {', '.join(document['over'])}, pixels"
        f" accumulated over the split.{side} Search: {document['search']}.{steps}"
        f" Times: processor time of one mask's refinement. Weights: {document['weights_source']}."
    )


def _try_it(document: Document, tuned: ModelCard) -> str:
    """``weakseg evaluate`` with the winner as flags."""
    flags = {"threshold": "--threshold", "sigma": "--sigma", "levels": "--grabcut-mode"}
    flags |= {"radius": "--guided-radius", "eps": "--guided-eps"}
    parts = ["weakseg", "evaluate", "--voc", "DIR", "--model", tuned.name, "--refine", document["refine"]]
    for name, value in document["winner"]["point"].items():
        text = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
        parts += [flags.get(name, f"--crf-{name.replace('_', '-')}"), text]
    return shlex.join(parts)


def _table(rows: Sequence[Document], axes: Document) -> str:
    headings = [*axes, "mIoU", "precision", "recall", "F1", "median ms"]
    lines = [
        [
            *(show_value(_hashable(row["point"][name])) for name in axes),
            *(f"{100 * (row[field] or 0):.1f}" for field in ("miou", "precision", "recall", "f1")),
            "–" if row["median_ms"] is None else f"{row['median_ms']:.0f}",
        ]
        for row in rows
    ]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (headings, ["---"] * len(headings), *lines))


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
