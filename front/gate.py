"""What every request passes: its id, its token, its log line, and an answer whatever happens.

Pure ASGI, outside of all routes. The request's `logs.Record` is the context's current one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from front import ids, logs
from front.bodies import Intake
from front.errors import BodyTimeoutError, ClientGoneError, CutOffError, InternalError
from front.health import PROBES
from front.kserve_errors import word
from front.metrics import Metrics
from front.replies import Reply
from front.tokens import Tokens
from front.tracing import Tracing
from weakseg.errors import RequestError

_OPEN = (*PROBES, "/openapi.json")  # no token needed
_HEAD_START_S = 0.02
_LINGER_S = 10.0  # for which a body that nobody wants is still read, so that its sender sees the answer

log = logging.getLogger(__name__)


class Gate:
    """The outermost middleware."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        intake: Intake,
        tokens: Tokens,
        lines: logs.Log,
        metrics: Metrics,
        tracing: Tracing | None = None,
    ) -> None:
        self.app, self.intake, self.tokens, self.lines, self.metrics = app, intake, tokens, lines, metrics
        self.tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        client = scope.get("client")
        record = logs.Record(
            ids.request_id(scope["headers"]), client[0] if client else "", scope["method"], scope["path"]
        )
        logs.begin(record)
        scope.setdefault("state", {})["request_id"] = record.request_id
        exchange = _Exchange(record, receive, send, has_body=not _sends_body(scope["headers"]))
        try:
            await self._pass(scope, exchange)
        finally:
            exchange.stop()
            self.intake.release(record)
            if record.gone:
                record.status, record.error = ClientGoneError.status, ClientGoneError.code
            self.metrics.exchanged(record.path, record.status, record.bytes_in, record.bytes_out)
            if record.error and not record.model:
                self.metrics.rejected("", record.error)
            if scope["method"] != "GET" or scope["path"] not in PROBES:  # every few seconds: counted, but no line each
                self.lines.write(record)
            if self.tracing is not None:
                self.tracing.trace(scope["headers"], record)

    async def _pass(self, scope: Scope, exchange: _Exchange) -> None:
        record = exchange.record
        try:
            scope["state"]["token"] = None if scope["path"] in _OPEN else self.tokens.check(scope["headers"])
            await self.app(scope, exchange.receive, exchange.send)
        except asyncio.CancelledError:
            if not record.gone:
                raise
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
            await exchange.part(ClientGoneError())
        except ClientGoneError:
            record.gone = True
            await exchange.part(CutOffError())
        except Exception as error:
            if not isinstance(error, RequestError):
                log.exception("request %s failed", record.request_id)
            if record.status:
                raise  # half an answer is sent: the connection has to break
            # No name for it here: a frame that holds its own error is a cycle, and with it stays the connection, half
            # closed, until the next garbage collection.
            await exchange.answer(word(record.path, error if isinstance(error, RequestError) else InternalError()))


class _Exchange:
    """One request and its answer: looks on, and ends the work on it when the client hangs up.

    Args:
        has_body: Nothing is left to be read of the body.
    """

    def __init__(self, record: logs.Record, receive: Receive, send: Send, *, has_body: bool) -> None:
        self.record, self._receive, self._send, self._has_body = record, receive, send, has_body
        self._watch: asyncio.Task[None] | None = None

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.record.gone = not self.record.status
            return message
        self._has_body = not message.get("more_body", False)
        if self._has_body and self._watch is None:
            worker = asyncio.current_task()
            if worker is not None:
                self._watch = asyncio.create_task(self._wait_for_disconnect(worker))
        return message

    async def _wait_for_disconnect(self, worker: asyncio.Task[object]) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self.record.status:
            self.record.gone = True
            worker.cancel()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.record.status = message["status"]
            name = ids.HEADER.lower().encode()
            message["headers"] = [*message.get("headers", ()), (name, self.record.request_id.encode())]
        elif message["type"] == "http.response.body":
            self.record.bytes_out += len(message.get("body", b""))
            if not message.get("more_body", False) and self._is_sending():
                await self._send_and_linger(message)
                return
        await self._send(message)

    def _is_sending(self) -> bool:
        """Whether the client is at its body, which nobody wants: a connection that is closed now would be reset, and
        the answer lost with it."""
        return not self._has_body and not self.record.gone and self.record.status != BodyTimeoutError.status

    async def _send_and_linger(self, message: Message) -> None:
        """The answer's last part, and its end once the body is read."""
        reading = asyncio.create_task(self._linger())
        try:
            # Granian closes a connection whose answer is complete while nobody reads: so somebody has to read by then.
            await asyncio.wait({reading}, timeout=_HEAD_START_S)
            await self._send({**message, "more_body": True})
            await reading
        finally:
            reading.cancel()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _linger(self) -> None:
        """Read the rest of the body, for a while, and throw it away."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                while (await self._receive()).get("more_body", False):
                    pass

    async def answer(self, reply: Reply) -> None:
        """An error."""
        self.record.error = reply.error
        await self.send({"type": "http.response.start", "status": reply.status, "headers": reply.raw_headers()})
        await self.send({"type": "http.response.body", "body": reply.body})

    async def part(self, error: RequestError) -> None:
        """An answer to somebody who sends no more, and may still read: half a connection is closed, or a chunk broken.

        Without one Granian says 500.
        """
        if not self.record.status:
            await self.answer(word(self.record.path, error))

    def stop(self) -> None:
        if self._watch is not None:
            self._watch.cancel()


def _sends_body(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether a client sends a body without being asked for it (``Expect: 100-continue``)."""
    told = dict(headers)
    return b"expect" not in told and (b"transfer-encoding" in told or told.get(b"content-length", b"0") != b"0")
