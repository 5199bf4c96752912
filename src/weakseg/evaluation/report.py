"""Everything that an evaluation leaves for readers: results.json, results.md and figures."""

from __future__ import annotations

from pathlib import Path

from weakseg.evaluation.plots import draw_figures
from weakseg.evaluation.results import Document, write_results
from weakseg.evaluation.tables import render_report


def write_report(results: Document, folder: Path) -> None:
    """Write into ``folder``; figures need a sweep."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = draw_figures(results, folder / "figures") if "sweep" in results else []
    write_results(results, folder / "results.json")
    page = render_report(results, [path.relative_to(folder).as_posix() for path in figures])
    (folder / "results.md").write_text(page, encoding="utf-8")
