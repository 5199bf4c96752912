"""The finished trainings of an experiment, and their archives: what `pixel_networks` and `shoe_stages` measure."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.build import build_archive
from export.default_models import METHOD_FIELDS
from training.experiments.plan import Plan, Row
from training.recipe import Recipe
from training.record import BEST, METRICS
from weakseg.archive import open_archive
from weakseg.errors import DataError, ModelError
from weakseg.models.pixel.load import load_pixel_model
from weakseg.models.state import hash_file


@dataclass(frozen=True, slots=True)
class Run:
    """One finished training: its row of the experiment, its folder, and what ``metrics.json`` says."""

    row: Row
    folder: Path
    facts: dict[str, Any]

    @property
    def checkpoint(self) -> Path:
        return self.folder / BEST

    @property
    def recipe(self) -> Recipe:
        return Recipe.model_validate(self.facts["recipe"])

    @property
    def start(self) -> str:
        """What it started from, in a word or two."""
        known = {"imagenet": "ImageNet", "random": "random"}
        return known.get(self.recipe.init, Path(self.recipe.init).parent.name or self.recipe.init)


def finished_runs(plan: Plan, folder: Path) -> list[Run]:
    """The rows of a plan whose training below ``folder`` has ended, in the plan's order.

    Raises:
        DataError: none has.
    """
    runs = [
        Run(row, folder / row.name, json.loads((folder / row.name / METRICS).read_text(encoding="utf-8")))
        for row in plan.rows
        if (folder / row.name / METRICS).is_file() and (folder / row.name / BEST).is_file()
    ]
    if not runs:
        names = ", ".join(row.name for row in plan.rows)
        raise DataError(f"{folder} has no finished run of {names}. Train them with `python -m training.experiments`.")
    return runs


def export_run(run: Run, store: Path, say: Callable[[str], None]) -> Path:
    """The archive ``store/ROW.mar``; built where it is missing, or has other weights than the run.

    Raises:
        ParityError, ModelError: see `export.build.build_archive`.
    """
    path = store / f"{run.row.name}.mar"
    if path.is_file() and _weights_of(path) == hash_file(run.checkpoint):
        return path
    say(f"export {run.row.name}")
    store.mkdir(parents=True, exist_ok=True)
    model = load_pixel_model(run.checkpoint)
    return build_archive(model, name=run.row.name, directory=store, card_fields=METHOD_FIELDS["pixels"]).path


def _weights_of(path: Path) -> str | None:
    try:
        return open_archive(path).card.weights.sha256
    except ModelError:  # another version's card
        return None
