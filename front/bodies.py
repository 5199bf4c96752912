"""Bodies of requests: read whole, but bounded in bytes, in time and in number."""

from __future__ import annotations

import asyncio

from starlette.requests import Request

from front.errors import BodyTimeoutError, BodyTooLargeError, BusyError, ClientGoneError
from front.logs import Record, current
from front.settings import Settings
from weakseg.errors import MalformedBodyError


class Intake:
    """How many requests with a body are under way, and how many bytes they hold."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.requests = 0
        self.bytes = 0

    def admit(self, record: Record) -> None:
        """Count a request, once.

        Raises:
            BusyError: too many are under way.
        """
        if record.admitted:
            return
        if self.requests >= self.settings.max_in_flight:
            raise BusyError
        self.requests += 1
        record.admitted = True

    def hold(self, record: Record, count: int) -> None:
        """Count bytes of a request.

        Raises:
            BodyTooLargeError: too many for one request.
            BusyError: too many of all requests.
        """
        if record.held_bytes + count > self.settings.max_body_bytes:
            raise BodyTooLargeError(self.settings.max_body_bytes)
        if self.bytes + count > self.settings.max_bytes_in_flight:
            raise BusyError
        self.bytes += count
        record.held_bytes += count

    def release(self, record: Record) -> None:
        """The request is done."""
        self.requests -= record.admitted
        self.bytes -= record.held_bytes
        record.admitted, record.held_bytes = False, 0


async def read_body(request: Request) -> bytes:
    """The whole body of a request. What it takes up is given back when the request is answered.

    Raises:
        BodyTooLargeError: by its Content-Length, at once; or as soon as more has come.
        BodyTimeoutError: it did not come in time.
        BusyError: too many requests, or bytes, are under way.
        ClientGoneError: the client hung up before all of it had come.
    """
    intake: Intake = request.app.state.intake
    record = current()
    intake.admit(record)
    length = _announced(request)
    if length > intake.settings.max_body_bytes:
        raise BodyTooLargeError(intake.settings.max_body_bytes)
    if intake.bytes + length > intake.settings.max_bytes_in_flight:
        raise BusyError
    try:
        async with asyncio.timeout(intake.settings.body_timeout_s):
            return await _read(request, intake, record)
    except TimeoutError as error:
        raise BodyTimeoutError(intake.settings.body_timeout_s) from error


async def _read(request: Request, intake: Intake, record: Record) -> bytes:
    chunks: list[bytes] = []
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        chunk = message.get("body", b"")
        intake.hold(record, len(chunk))
        record.bytes_in += len(chunk)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _announced(request: Request) -> int:
    text = request.headers.get("content-length", "0")
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise MalformedBodyError(
            f"Content-Length {text[:40]!r} is no number of bytes.", field="body", remedy="Send how long the body is."
        )
    return int(text)
