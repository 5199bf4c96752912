"""Bodies that were compressed, piece by piece."""

from __future__ import annotations

import gzip
import random
import zlib

import pytest

from front.compression import PIECE, Inflation
from weakseg.errors import MalformedBodyError


def inflate(body: bytes, encoding: str) -> list[bytes]:
    inflation = Inflation(body, encoding)
    return list(iter(inflation.next_piece, b""))


@pytest.mark.parametrize("count", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 3 * PIECE + 7])
@pytest.mark.parametrize("kind", ["zeros", "noise"])
def test_what_comes_out_is_what_went_in(kind: str, count: int) -> None:
    body = bytes(count) if kind == "zeros" else random.Random(count).randbytes(count)
    for encoding, sent in (("gzip", gzip.compress(body, 1)), ("Deflate ", zlib.compress(body, 1))):
        pieces = inflate(sent, encoding)
        assert b"".join(pieces) == body
        assert all(len(piece) <= PIECE for piece in pieces)


@pytest.mark.parametrize("sent", [b"", b"no", gzip.compress(bytes(2 * PIECE))[:-1], gzip.compress(b"a") + b"b"])
def test_what_is_none(sent: bytes) -> None:
    with pytest.raises(MalformedBodyError):
        inflate(sent, "gzip")
