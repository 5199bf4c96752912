"""Errors as the clients of a path read them: KServe's want a text where the service's own answers have an object."""

from __future__ import annotations

import json
from dataclasses import replace

from front.replies import Reply, reply_to
from weakseg.errors import RequestError

_PREFIXES = ("/v1/", "/v2/")


def word(path: str, error: RequestError) -> Reply:
    """The answer to a request for ``path`` that failed.

    Under /v1 and /v2: ``{"error": "field: message remedy", "code": ..., "field": ..., "message": ..., "remedy": ...}``;
    everywhere else as `reply_to`.
    """
    reply = reply_to(error)
    if not f"{path}/".startswith(_PREFIXES):
        return reply
    told = error.as_dict()["error"]
    text = " ".join(filter(None, (f"{error.field}:" if error.field else "", error.message, error.remedy)))
    return replace(reply, body=json.dumps(told | {"error": text}, separators=(",", ":")).encode())
