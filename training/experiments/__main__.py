"""The command line: ``python -m training.experiments --help``."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from benchmarks.machine import describe_machine
from benchmarks.pixel_cost import cost
from training.experiments.plan import Plan, Row, list_plans, read_plan
from training.experiments.table import Result, write_table
from training.recipe import Recipe, RecipeError
from training.run import train
from training.start import build_start
from weakseg.errors import WeaksegError

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")
console = Console(highlight=False, soft_wrap=True)


@app.command()
def main(
    plan: Annotated[str, typer.Argument(help=f"{', '.join(list_plans())}; or the path of a YAML file.")],
    data: Annotated[Path, typer.Option(help="The photos, as for `python -m training`.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the runs.", show_default="runs/PLAN")] = None,
    only: Annotated[str | None, typer.Option(help="Rows to train, comma separated.", show_default="all")] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="FIELD=VALUE", help="A recipe's field, in every row that does not set it itself."
        ),
    ] = None,
) -> None:
    """Train the rows of a table, one after the other, and write the table.

    **For example:** `python -m training.experiments hair_ladder --data DIR`

    Each row has a run folder below --out. The same command goes on where a killed one ended, and finished rows are
    not repeated. The table (`results.md`, `results.json`) is written anew after each row.
    """
    folder = out or Path("runs") / Path(plan).stem
    try:
        _run(read_plan(plan), data, folder, _split(only), tuple(changes or ()), _command(plan, data, out, changes))
    except WeaksegError as error:
        console.print(f"[red]{type(error).__name__}[/red]: {escape(str(error))}")
        raise typer.Exit(1) from error


def _run(plan: Plan, data: Path, out: Path, only: tuple[str, ...], changes: tuple[str, ...], command: str) -> None:
    _check_names(plan, only)
    machine, path = describe_machine(), None
    results: list[Result] = []
    for row in plan.rows:
        recipe = plan.recipe_of(row, data, out, changes)
        if not only or row.name in only:
            console.print(f"[bold]{row.name}[/bold]: {escape(row.says)}")
            train(recipe, data, out / row.name, console=console, bar=console.is_terminal)
        if (out / row.name / "metrics.json").is_file():
            results.append(_read_result(row, out / row.name))
            path = write_table(plan, results, out, command=command, machine=machine)
    console.print(f"The table: {path}" if path else "No row is finished.", markup=False)


def _read_result(row: Row, folder: Path) -> Result:
    """Of a finished run, by what it says of itself: rows that are not trained now may have been trained otherwise."""
    found = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    recipe = Recipe.model_validate(found["recipe"])
    bare = recipe.model_copy(update={"init": "random"})
    network = build_start(bare, found["classes"]).network
    costs = cost(network, recipe.input_hw)
    return Result(
        name=row.name,
        says=row.says,
        paper=row.paper,
        network=recipe.network,
        epochs=recipe.epochs,
        minutes=found["minutes"],
        parameters=costs.parameters,
        gflops=costs.gflops,
        hw=recipe.input_hw,
        figures=found["metrics"]["val"],
    )


def _check_names(plan: Plan, only: tuple[str, ...]) -> None:
    known = [row.name for row in plan.rows]
    unknown = [name for name in only if name not in known]
    if unknown:
        raise RecipeError(f"--only {unknown[0]}: there is no such row. Rows: {', '.join(known)}.")


def _split(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",")) if text else ()


def _command(plan: str, data: Path, out: Path | None, changes: list[str] | None) -> str:
    parts = ["python", "-m", "training.experiments", plan, "--data", str(data)]
    parts += ["--out", str(out)] if out else []
    return shlex.join(parts + [part for change in changes or () for part in ("--set", change)])


if __name__ == "__main__":
    app(prog_name="python -m training.experiments")
