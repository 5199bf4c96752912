"""The command line: ``python -m training --help``."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from training.recipe import RecipeError, describe_fields, list_recipes, read_recipe
from training.run import IS_FIRST, PROCESSES, Outcome, train
from weakseg.errors import WeaksegError

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")
console = Console(highlight=False, quiet=not IS_FIRST, soft_wrap=True)


def _print_recipes(wanted: bool) -> None:
    if wanted:
        for name, line in list_recipes().items():
            console.print(f"[bold]{name:<18}[/bold] {escape(line)}")
        raise typer.Exit


def _print_fields(wanted: bool) -> None:
    if wanted:
        table = Table("field", "default", "meaning", box=None)
        for row in describe_fields():
            table.add_row(*map(escape, row))
        console.print(table)
        raise typer.Exit


@app.command()
def main(
    recipe: Annotated[str, typer.Argument(help="A name out of `--list`, or the path of a YAML file.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="FIELD=VALUE", help="Fields of the recipe to change; `--fields` shows all."),
    ] = None,
    data: Annotated[
        Path,
        typer.Option(
            help="The photos: a folder in VOC's layout (or the one that holds VOCdevkit), a folder with one folder per "
            "class (or `train` and `val` folders of such), or a CSV file `path,labels[,split]` with labels like "
            "`cat;person`. With task: pixels VOC's layout, or a folder with `images` and `masks`.",
        ),
    ] = Path("data"),
    out: Annotated[Path | None, typer.Option(help="Folder of the run.", show_default="runs/RECIPE")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete what the folder holds of a former run.")] = False,
    _listing: Annotated[
        bool, typer.Option("--list", help="Show the recipes.", is_eager=True, callback=_print_recipes)
    ] = False,
    _fields: Annotated[
        bool, typer.Option("--fields", help="Show every field of a recipe.", is_eager=True, callback=_print_fields)
    ] = False,
) -> None:
    """Train a classifier from labels of whole photos, or a network that labels pixels from masks.

    **Your own labels:** `python -m training mobilenet_v2_voc --data photos.csv --out runs/mine epochs=10`

    **Your own masks** (`FOLDER/images/NAME.jpg` and `FOLDER/masks/NAME.png`):
    `python -m training fcn8s_mobilenet_v2_voc --data FOLDER 'classes=[hair]'`

    **A quick try:** `python -m training squeezenet_voc --data photos limit=100 epochs=1`

    The run folder holds `best.pt` (weights, class names, preprocessing, recipe and metrics: all that
    `python -m export --checkpoint best.pt` needs), `history.csv`, `metrics.json`, `curves.png`, `tensorboard/` and a
    picture of class maps or masks per epoch in `samples/`. **The same command goes on where a killed one ended**, and
    loses at most one epoch. Several GPUs or machines: `torchrun --nproc-per-node 2 -m training ...`
    """
    folder = out or Path("runs") / Path(recipe).stem
    try:
        chosen = read_recipe(recipe, overrides or ())
        if fresh:
            _clear(folder)
        outcome = train(chosen, data, folder, console=console, bar=console.is_terminal)
    except WeaksegError as error:
        console.print(f"[red]{type(error).__name__}[/red]: {escape(str(error))}")
        raise typer.Exit(1) from error
    console.print(_summary(outcome), markup=False)


def _clear(folder: Path) -> None:
    if PROCESSES > 1:
        raise RecipeError(f"--fresh with torchrun: the processes would race. Delete {folder} before.")
    shutil.rmtree(folder, ignore_errors=True)


def _summary(outcome: Outcome) -> str:
    parts = []
    for split in ("train", "val"):
        figures = {name: value for name, value in outcome.metrics[split].items() if "/" not in name}
        parts.append(f"{split}: " + ", ".join(f"{name} {value:.4f}" for name, value in figures.items()))
    return f"{outcome.checkpoint} (epoch {outcome.metrics['epoch']}); {'; '.join(parts)}"


if __name__ == "__main__":
    app(prog_name="python -m training")
