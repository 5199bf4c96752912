"""Flags that commands share. One for each option of a request, with the option's own words as help."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from weakseg.options import OPTION_NAMES, Options

STORE_VARIABLE = "WEAKSEG_STORE"

_DEFAULTS = {"classes": "auto", "pick": "all", "box": "none", "format": "mask"}


def takes_options(*left_out: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command a flag for every option of a request but ``left_out``; it gets those that were sent as the
    keyword argument ``options`` (name to text), as a request would send them."""
    names = [name for name in OPTION_NAMES if name not in left_out]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def wrapped(**given: Any) -> None:
            sent = {name: given.pop(name) for name in names}
            command(**given, options={name: value for name, value in sent.items() if value is not None})

        own = inspect.signature(command, eval_str=True)
        flags = [_keyword(name, Annotated[str | None, _option(name)], None) for name in names]
        kept = [
            _keyword(name, parameter.annotation, parameter.default)
            for name, parameter in own.parameters.items()
            if name != "options"
        ]
        wrapped.__signature__ = own.replace(parameters=kept + flags)  # type: ignore[attr-defined]
        wrapped.__annotations__ = {flag.name: flag.annotation for flag in kept + flags}
        return wrapped

    return decorate


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _option(name: str) -> typer.models.OptionInfo:
    flag = typer.Option(
        f"--{name.replace('_', '-')}",
        help=Options.model_fields[name].description,
        show_default=_DEFAULTS.get(name, "as the model card says"),
        metavar="TEXT",
        rich_help_panel="What is asked for",
    )
    assert isinstance(flag, typer.models.OptionInfo)
    return flag


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


def find_store(asked: Path | None) -> Path:
    """The folder that was asked for; else ./model_store; else the one of the checkout that this file belongs to."""
    here, checkout = Path("model_store"), Path(__file__).resolve().parents[3] / "model_store"
    return asked or (here if here.exists() or not checkout.exists() else checkout)
