"""Flags that commands share. One for each option of a request, with the option's own words as help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from weakseg.options import Options

STORE_VARIABLE = "WEAKSEG_STORE"

_DEFAULTS = {"classes": "auto", "pick": "all", "box": "none", "format": "mask"}


def _option(name: str) -> typer.models.OptionInfo:
    flag = typer.Option(
        f"--{name.replace('_', '-')}",
        help=Options.model_fields[name].description,
        show_default=_DEFAULTS.get(name, "as the model card says"),
        metavar="TEXT",
    )
    assert isinstance(flag, typer.models.OptionInfo)
    return flag


Classes: TypeAlias = Annotated[str | None, _option("classes")]
Pick: TypeAlias = Annotated[str | None, _option("pick")]
Refine: TypeAlias = Annotated[str | None, _option("refine")]
GrabCutMode: TypeAlias = Annotated[str | None, _option("grabcut_mode")]
Iterations: TypeAlias = Annotated[str | None, _option("iterations")]
Threshold: TypeAlias = Annotated[str | None, _option("threshold")]
Box: TypeAlias = Annotated[str | None, _option("box")]
Format: TypeAlias = Annotated[str | None, _option("format")]

Model: TypeAlias = Annotated[
    str, typer.Option(help="A model of the store by name, or the path of an archive (.mar) or of its unpacked folder.")
]
Store: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        envvar=STORE_VARIABLE,
        help="The folder of model archives.",
        show_default="./model_store, else that of the checkout that weakseg runs from",
    ),
]


def given(**options: str | None) -> dict[str, str]:
    """The options that were given, as a request would send them."""
    return {name: value for name, value in options.items() if value is not None}


def find_store(asked: Path | None) -> Path:
    """The folder that was asked for; else ./model_store; else the one of the checkout that this file belongs to."""
    here, checkout = Path("model_store"), Path(__file__).resolve().parents[3] / "model_store"
    return asked or (here if here.exists() or not checkout.exists() else checkout)
