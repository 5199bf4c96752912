"""Errors to answers: a caller's own, a lack of memory or of time, and our bugs."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import Any

from weakseg.errors import RequestError
from weakseg.memory import ran_out_of_memory
from weakseg.types import Answer

log = logging.getLogger(__name__)


def encode_error(error: RequestError | None) -> Answer:
    """A caller's error with its status; a 500 for None, an error of ours whose details are in the log."""
    if error is not None:
        headers = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
        return Answer(_encode(error.as_dict()), "application/json", error.status, headers=headers)
    return _encode_own_fault(
        500,
        code="internal",
        message="the service failed on this request; the log has the details.",
        remedy="Report it with the request id of this answer.",
    )


def encode_failure(error: Exception, request_id: str = "") -> Answer:
    """What an unexpected error means for the caller: a 503 where memory ran out, else a 500.

    The log gets the error; of a lack of memory a line, as a traceback might not fit.

    Args:
        request_id: What the log calls the request, or the requests.
    """
    if not ran_out_of_memory(error):
        log.error("a request failed: %s", request_id, exc_info=error)
        return encode_error(None)
    log.error("memory ran out for request %s: %.200r", request_id, error)
    return _encode_later(code="out_of_memory", message="there was not enough memory for this request.", retry_after_s=2)


def encode_late() -> Answer:
    """A 503 for a request whose batch took too long: nothing is wrong with it, and it may be sent again."""
    return _encode_later(
        code="too_late", message="the requests before this one in its batch took too long.", retry_after_s=1
    )


def _encode_later(*, code: str, message: str, retry_after_s: int) -> Answer:
    later = _encode_own_fault(503, code=code, message=message, remedy="Send it again.")
    return replace(later, headers={"Retry-After": str(retry_after_s)})


def _encode_own_fault(status: int, *, code: str, message: str, remedy: str) -> Answer:
    """The body of a `RequestError`, with an empty field: nothing in the request is to blame."""
    document = {"error": {"code": code, "field": "", "message": message, "remedy": remedy}}
    return Answer(_encode(document), "application/json", status)


def _encode(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
