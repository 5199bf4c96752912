"""Tokens for callers of the service: `python -m scripts.tokens add NAME --file FILE`."""

from __future__ import annotations

import math
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from front.token_list import Grant, TokenListError, digest_of, parse_tokens, read_tokens

BYTES = 32
File = Annotated[Path, typer.Option(dir_okay=False, help="The list; front/token_list.py says what is in it.")]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Who it is for.")],
    file: File,
    days: Annotated[int, typer.Option(min=0, help="Until it ends; 0: never.")] = 90,
) -> None:
    """Make a token, add its hash to FILE and print the token: it can not be had again."""
    token = secrets.token_urlsafe(BYTES)
    ends = (datetime.now(UTC) + timedelta(days=days)).replace(microsecond=0).timestamp() if days else math.inf
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    separator = "\n" if before and not before.endswith("\n") else ""
    after = f"{before}{separator}{Grant(name, ends, digest_of(token.encode())).as_line()}\n"
    try:
        parse_tokens(after, str(file))
    except TokenListError as error:
        raise typer.BadParameter(str(error)) from error
    _replace(file, after)
    typer.echo(token)


@app.command(name="list")
def list_tokens(file: File) -> None:
    """Who has a token, and until when. To take one back, remove its line."""
    try:
        grants = read_tokens(file)
    except TokenListError as error:
        raise typer.BadParameter(str(error)) from error
    for grant in grants.values():
        name, ends, _ = grant.as_line().split()
        expired = grant.expires_s <= datetime.now(UTC).timestamp()
        typer.echo(f"{name} {ends}{' (expired)' if expired else ''}")


def _replace(file: Path, text: str) -> None:
    """Whole or not at all. The container's user reads it, so it is readable to all: it holds hashes only."""
    draft = file.with_name(f"{file.name}.new")
    draft.write_text(text, encoding="utf-8")
    draft.chmod(0o644)
    draft.replace(file)


if __name__ == "__main__":
    app(prog_name="python -m scripts.tokens")
