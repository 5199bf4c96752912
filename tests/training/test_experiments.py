"""Plans of experiments: what their rows train, and the table of a small one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.helpers.drawn_masks import SPEC, write_masks
from training.experiments.__main__ import app
from training.experiments.plan import list_plans, read_plan
from training.recipe import RecipeError
from training.start import build_start

PLAN = f"""
title: Two networks
recipe: hair_ladder
changes: {{classes: [disc, star], input_hw: [32, 40], batch: 3, epochs: 1, cache: false}}
figures: [pixel_accuracy, iu/star]
paper_figure: accuracy
rows:
  - {{name: first, says: the first, changes: {{network_options: {{spec: "{SPEC}"}}}}, paper: 92.92}}
  - name: second
    says: from the first
    changes: {{network_options: {{spec: "{SPEC}"}}, init: "{{out}}/first/best.pt", learning_rate: 0.002}}
"""


@pytest.mark.parametrize("name", list_plans())
def test_every_row_of_every_plan_is_a_recipe_whose_network_can_be_built(name: str) -> None:
    plan = read_plan(name)
    assert len({row.name for row in plan.rows}) == len(plan.rows)
    for row in plan.rows:
        recipe = plan.recipe_of(row, Path("data"), Path("out"))
        small = {"width": 0.125} if "vgg16" in recipe.network else {}
        bare = recipe.model_copy(update={"init": "random", "network_options": {**recipe.network_options, **small}})
        assert build_start(bare, recipe.classes or ("a", "b")).network is not None


def test_a_table_is_trained_and_written_and_not_trained_again(tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(PLAN, encoding="utf-8")
    data = write_masks(tmp_path / "masks")
    command = [str(plan), "--data", str(data), "--out", str(tmp_path / "out"), "--set", "learning_rate=0.001"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    results = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert [row["name"] for row in results["rows"]] == ["first", "second"]
    recipes = [json.loads((tmp_path / "out" / name / "recipe.json").read_text()) for name in ("first", "second")]
    assert [recipe["recipe"]["learning_rate"] for recipe in recipes] == [0.001, 0.002], "a row's own changes win"
    table = (tmp_path / "out" / "results.md").read_text(encoding="utf-8").splitlines()
    first, second = (
        next(line for line in table if line.startswith(f"| {says} ")) for says in ("the first", "from the")
    )
    assert f"| {100 * results['rows'][0]['figures']['pixel_accuracy']:.2f} |" in first
    assert "| 92.92 |" in first
    assert "| – |" in second
    again = CliRunner().invoke(app, command)
    assert again.output.count("nothing to do") == 2
    plan.write_text(PLAN.replace("learning_rate: 0.002", "epochs: 7"), encoding="utf-8")
    assert CliRunner().invoke(app, [*command, "--only", "first"]).exit_code == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert [row["epochs"] for row in results["rows"]] == [1, 1], "as the second row was trained, not as it would be now"


def test_an_unknown_row_is_no_silent_nothing(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["upsampling", "--data", str(tmp_path), "--only", "bilinear,nosuch"])
    assert done.exit_code == 1
    assert "--only nosuch: there is no such row. Rows: bilinear, transposed" in done.output


def test_an_unknown_plan_lists_those_that_there_are(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["ladder", "--data", str(tmp_path)])
    assert done.exit_code == 1
    assert "hair_ladder" in done.output
    (tmp_path / "wrong.yaml").write_text("extra: 1", encoding="utf-8")
    with pytest.raises(RecipeError, match="extra"):
        read_plan(str(tmp_path / "wrong.yaml"))
