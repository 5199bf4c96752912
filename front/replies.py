"""An answer, ready to be sent; and errors as answers."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from starlette.responses import Response

from weakseg.errors import RequestError
from weakseg.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class Reply:
    """What a caller gets, and what the front alone learns.

    Args:
        headers: Public ones, x-weakseg-... and retry-after, names in lower case; without Content-Type.
        telemetry: What the worker measured; None where no worker answered.
        error: The code of the error that ``body`` holds.
    """

    status: int
    body: bytes
    content_type: str
    headers: dict[str, str] = field(default_factory=dict)
    telemetry: Telemetry | None = None
    error: str | None = None

    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        """As ASGI wants them, with type and length."""
        named = {"content-type": self.content_type, "content-length": str(len(self.body)), **self.headers}
        return [(name.lower().encode("latin-1"), text.encode("latin-1")) for name, text in named.items()]

    def response(self) -> Response:
        return Response(self.body, self.status, self.headers, self.content_type)


def reply_to(error: RequestError) -> Reply:
    """Any error on purpose, as JSON."""
    headers = {} if error.retry_after_s is None else {"retry-after": str(error.retry_after_s)}
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    body = json.dumps(error.as_dict(), separators=(",", ":")).encode()
    return Reply(error.status, body, "application/json", headers, error=error.code)
