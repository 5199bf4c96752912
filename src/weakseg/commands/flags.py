"""Flags that commands share. One for each option of a request, with the option's own words as help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from weakseg.options import Options

DEFAULT_MODEL = "squeezenet_cam"
DEFAULT_STORE = Path("model_store")

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
Store: TypeAlias = Annotated[Path, typer.Option(help="The folder of model archives.")]


def given(**options: str | None) -> dict[str, str]:
    """The options that were given, as a request would send them."""
    return {name: value for name, value in options.items() if value is not None}
