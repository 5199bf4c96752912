"""The ``weakseg`` program. The edge of the package: nothing else in it imports this file or ``commands``."""

from __future__ import annotations

import typer

from weakseg.commands.batch import batch
from weakseg.commands.evaluate import evaluate
from weakseg.commands.models import models
from weakseg.commands.segment import segment
from weakseg.commands.tune import tune

app = typer.Typer(
    name="weakseg",
    help="Object masks from image classifiers: the same pipeline as the service, with or without a server.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
)
app.command()(segment)
app.command()(batch)
app.command()(evaluate)
app.command()(models)
app.add_typer(tune, name="tune")
