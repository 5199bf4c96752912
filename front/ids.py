"""Request ids: the caller's own where it is one, else a new one."""

from __future__ import annotations

import re
import uuid

HEADER = "X-Request-Id"
_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")


def request_id(headers: list[tuple[bytes, bytes]]) -> str:
    """The id in the headers (lower case names) of an ASGI scope, or one of our own: 32 hexadecimal digits."""
    for name, value in headers:
        if name == b"x-request-id" and _ID.fullmatch(value):
            return value.decode("ascii")
    return uuid.uuid4().hex
