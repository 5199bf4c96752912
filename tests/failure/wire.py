"""Bytes to a socket, an answer from it: for requests that no HTTP library would send."""

from __future__ import annotations

import contextlib
import http.client
import socket
from collections.abc import Mapping
from dataclasses import dataclass

TIMEOUT_S = 90


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]  # names in any case
    body: bytes


def http_request(method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> bytes:
    """A request whose form is right; Content-Length is added where the headers have none."""
    sent = {"Host": "127.0.0.1", **(headers or {})}
    if not {"content-length", "transfer-encoding"} & {name.casefold() for name in sent}:
        sent["Content-Length"] = str(len(body))
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items())]
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body


def exchange(port: int, request: bytes, *, ends: bool = False) -> Answer | None:
    """Send bytes on a connection of their own; the first answer, or None where it was closed without one.

    Args:
        ends: Close our side of it after the last byte: a request that is shorter than it says.
    Raises:
        TimeoutError: neither an answer nor an end.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as connection:
        with contextlib.suppress(ConnectionError):  # it may answer, and close, before it has read everything
            connection.sendall(request)
            if ends:
                connection.shutdown(socket.SHUT_WR)
        return read_answer(connection, method=request[:5].partition(b" ")[0].decode("latin-1"))


def read_answer(connection: socket.socket, method: str = "POST") -> Answer | None:
    """The next answer on a connection; None where there is none any more."""
    answer = http.client.HTTPResponse(connection, method=method)
    try:
        answer.begin()
        return Answer(answer.status, answer.headers, answer.read())
    except (ConnectionError, http.client.HTTPException):  # closed, or what came was no HTTP
        return None
    finally:
        answer.close()
