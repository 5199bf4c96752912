"""Words for people: where results and errors are printed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from weakseg.errors import WeaksegError

WRONG_INPUT = 2  # exit code, as for a wrong flag


def complain(*lines: str) -> None:
    for line in lines:
        print(line, file=sys.stderr)


@contextmanager
def explained() -> Iterator[None]:
    """Errors that weakseg raises on purpose become a message and exit code 2, without a traceback."""
    try:
        yield
    except WeaksegError as error:
        complain(f"Error: {error}")
        raise typer.Exit(WRONG_INPUT) from error
