"""One bad request, whole, as it goes to a socket; and what may come back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.failure.wire import http_request

MODEL = "numbered"  # the model that the corpus is for: `OddsNet`, with two workers
PATH = f"/predictions/{MODEL}"
REFUSED = frozenset({400, 413, 415})
MAYBE = REFUSED | {200}  # damage that may go unnoticed, as a bit of a pixel does


@dataclass(frozen=True, slots=True)
class Bad:
    """A request, and the answers that are right.

    Args:
        statuses: Any of these.
        may_close: A connection that is closed without an answer is right, too: what came was hardly HTTP.
        ends: Our side of the connection is closed after the last byte, as the request is shorter than it says.
    """

    name: str
    request: bytes
    statuses: frozenset[int]
    may_close: bool = False
    ends: bool = False


def photo_entry(name: str, body: bytes, statuses: frozenset[int], **headers: str) -> Bad:
    """A raw body to the predictions endpoint; header names with underscores for hyphens."""
    sent = {"Content-Type": "application/octet-stream"} | {n.replace("_", "-"): text for n, text in headers.items()}
    return Bad(name, http_request("POST", PATH, sent, body), statuses)


def json_entry(name: str, body: bytes, statuses: frozenset[int]) -> Bad:
    return Bad(name, http_request("POST", PATH, {"Content-Type": "application/json"}, body), statuses)


def form_entry(
    name: str, body: bytes, statuses: frozenset[int], content_type: str = "multipart/form-data; boundary=B"
) -> Bad:
    return Bad(name, http_request("POST", PATH, {"Content-Type": content_type}, body), statuses)


def part(name: str, content: bytes, head: str = "") -> bytes:
    """A part of a form whose boundary is B. Args: head: further header lines, each with its line end."""
    return f'--B\r\nContent-Disposition: form-data; name="{name}"\r\n{head}\r\n'.encode() + content + b"\r\n"


def form(fields: Mapping[str, bytes]) -> bytes:
    return b"".join([*(part(name, content) for name, content in fields.items()), b"--B--\r\n"])
