"""What an experiment is: rows of one table, each a recipe with changes, read from a small YAML file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from training.recipe import Recipe, RecipeError, read_recipe

FOLDER = Path(__file__).parent
OUT, DATA = "{out}", "{data}"  # in a value: the experiment's folder (init: "{out}/first/best.pt") and the photos'


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Row(_Strict):
    """One training."""

    name: str = Field(pattern=r"^[a-z0-9_]+$", description="Its folder below the experiment's")
    says: str = Field(description="What it is, for the table")
    recipe: str | None = Field(None, description="None: the plan's")
    changes: dict[str, Any] = Field({}, description="Fields of the recipe, beside the plan's changes")
    paper: float | None = Field(None, description="The paper's figure, in the plan's paper_figure")


class Plan(_Strict):
    """Rows of one table. Rows are trained in their order, so that one may start from the weights of another."""

    title: str
    notes: str = ""
    recipe: str
    changes: dict[str, Any] = {}
    figures: tuple[str, ...] = Field(("pixel_accuracy", "mean_iu"), description="Columns, as metrics.json names them")
    paper_figure: str = Field("", description="What the paper's figure is, for the column's head")
    rows: tuple[Row, ...]

    def recipe_of(self, row: Row, data: Path, out: Path, more: Sequence[str] = ()) -> Recipe:
        """The recipe of a row; ``more`` are changes of all rows, as ``threads=1``, unless a row has its own.

        Raises:
            RecipeError: see `read_recipe`.
        """
        spelt = [*_spell(self.changes), *more, *_spell(row.changes)]
        placed = [text.replace(OUT, str(out)).replace(DATA, str(data)) for text in spelt]
        return read_recipe(row.recipe or self.recipe, placed)


def _spell(changes: Mapping[str, Any]) -> list[str]:
    return [f"{name}={json.dumps(value)}" for name, value in changes.items()]  # JSON is YAML


def read_plan(name: str) -> Plan:
    """A plan by its name or the path of a YAML file.

    Raises:
        RecipeError: there is none, or one of its fields is wrong.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else FOLDER / f"{name}.yaml"
    if not path.is_file():
        raise RecipeError(f"No experiment {name!r}. Known: {', '.join(list_plans())}; or give the path of a YAML file.")
    try:
        return Plan.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValidationError) as error:
        raise RecipeError(f"{path}: {error}") from error


def list_plans() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))
