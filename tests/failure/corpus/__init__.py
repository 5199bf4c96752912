"""More than 500 requests that nobody should send: the same ones on every run."""

from __future__ import annotations

from functools import cache

from tests.failure.corpus.bodies import bad_bodies
from tests.failure.corpus.bombs import bombs
from tests.failure.corpus.entry import Bad
from tests.failure.corpus.options import bad_options
from tests.failure.corpus.pictures import damaged_pictures, no_pictures
from tests.failure.corpus.protocol import bad_protocol

__all__ = ["Bad", "make_corpus"]


@cache
def make_corpus() -> dict[str, Bad]:
    """By name; each name once."""
    entries = [*damaged_pictures(), *no_pictures(), *bombs(), *bad_options(), *bad_bodies(), *bad_protocol()]
    named = {entry.name: entry for entry in entries}
    if len(named) != len(entries):
        raise ValueError("two bad requests of one name")
    return named
