"""Content-Encoding gzip and deflate, bounded: a few bytes may say that they are gigabytes."""

from __future__ import annotations

import gzip
import zlib

from front.errors import UnsupportedEncodingError
from weakseg.errors import MalformedBodyError

ENCODINGS = ("gzip", "deflate")
_WINDOW_BITS = {"gzip": 31, "deflate": 15}  # deflate is zlib's format: RFC 9110, section 8.4.1.2
PIECE = 1 << 22
_LEAST_BYTES = 1024  # shorter answers gain nothing
_LEVEL = 1  # masks shrink to a hundredth already


class Inflation:
    """A body on its way back to what it was before its sender compressed it.

    Args:
        encoding: The Content-Encoding header.
    Raises:
        UnsupportedEncodingError: another encoding.
    """

    def __init__(self, body: bytes, encoding: str) -> None:
        self._name = encoding.strip().casefold()
        if self._name not in ENCODINGS:
            raise UnsupportedEncodingError(encoding, ENCODINGS)
        self._rest = body
        self._stream = zlib.decompressobj(_WINDOW_BITS[self._name])

    def next_piece(self) -> bytes:
        """At most PIECE bytes, so that they can be counted as they come; none at the end.

        Raises:
            MalformedBodyError: it is not of that encoding, cut off, or followed by something else.
        """
        if not self._stream.eof:
            try:
                piece = self._stream.decompress(self._rest, PIECE)
            except zlib.error as error:
                raise _malformed(self._name, str(error)) from error
            self._rest = self._stream.unconsumed_tail
            if piece:
                return piece
        if not self._stream.eof or self._stream.unused_data:
            raise _malformed(self._name, "it ends early, or something follows")
        return b""


def choose_encoding(accepted: str | None, size_bytes: int) -> str | None:
    """The encoding of an answer of this size, by the Accept-Encoding header; None: as it is."""
    if not accepted or size_bytes < _LEAST_BYTES:
        return None
    offers = [offer.strip().casefold().replace(" ", "").partition(";") for offer in accepted.split(",")]
    welcome = {name for name, _, quality in offers if quality not in ("q=0", "q=0.0", "q=0.00", "q=0.000")}
    return next((name for name in ENCODINGS if name in welcome), None)


def deflate(body: bytes, encoding: str) -> bytes:
    """``body`` in one of ENCODINGS, the quick way."""
    return gzip.compress(body, _LEVEL, mtime=0) if encoding == "gzip" else zlib.compress(body, _LEVEL)


def _malformed(name: str, why: str) -> MalformedBodyError:
    return MalformedBodyError(
        f"the body is not {name} ({why}).", field="Content-Encoding", remedy="Send it whole, or without the header."
    )
