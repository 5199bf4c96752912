"""One question to one model, whatever protocol brought it: the way to TorchServe and back."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass, field
from typing import Any

from front import logs
from front.catalogue import Catalogue, Version
from front.errors import (
    ClientGoneError,
    FrontError,
    InternalError,
    LaterError,
    NoWorkerError,
    QueueFullError,
    TokenInvalidError,
    UnavailableError,
    UnknownModelError,
    UnknownVersionError,
    WorkerDiedError,
    WorkerTimeoutError,
)
from front.metrics import Metrics
from front.replies import Reply, reply_to
from front.settings import Settings
from front.under_way import UnderWay
from front.upstream import ConnectionLostError, Raw, Upstream, find_fault
from weakseg import telemetry
from weakseg.envelope import Head, pack
from weakseg.errors import RequestError
from weakseg.telemetry import Telemetry

__all__ = ["Question", "Reply", "Service"]

log = logging.getLogger(__name__)
_TELEMETRY = telemetry.HEADER.lower()
_FRESH_S = 1.0  # how old a look at the workers may be that tells a full queue from none
_PUBLIC = ("x-weakseg-", "retry-after")  # beginnings of headers that callers see


@dataclass(frozen=True, slots=True)
class Question:
    """One photo for one model.

    Args:
        version: None: the model's default one.
        image: The encoded picture; None where none was sent.
        options: As the caller spelled their values, by name (lower case, underscores); the worker checks them.
        accept: The Accept header.
        explain: The heat map unless a format is asked for.
    """

    model: str
    version: str | None
    image: bytes | None
    options: dict[str, Any] = field(default_factory=dict)
    accept: str | None = None
    explain: bool = False


class Service:
    """The models, as every protocol of the front asks them."""

    def __init__(
        self, settings: Settings, upstream: Upstream, catalogue: Catalogue, metrics: Metrics, under_way: UnderWay
    ) -> None:
        self.settings, self.upstream, self.catalogue, self.metrics = settings, upstream, catalogue, metrics
        self._under_way = under_way

    async def ask(self, question: Question, *, request_id: str, token: str | None) -> Reply:
        """The answer, or an error as one: this never raises for what TorchServe or a worker does.

        Args:
            request_id: Goes to the worker, whose log names it.
            token: The Authorization header, for TorchServe's own check.
        """
        record = logs.current()
        try:
            version = await self.catalogue.find(question.model, question.version)
        except RequestError as error:
            record.error = error.code
            return reply_to(error)
        record.model, record.version = question.model, version.name
        record.options = question.options
        record.photos += 1
        started = time.perf_counter()
        self.metrics.started(question.model)
        status, told = ClientGoneError.status, None
        try:
            reply = await self._ask(question, version, request_id, token)
            status, told = reply.status, reply.telemetry
        except Exception:
            status = InternalError.status
            raise
        finally:
            self.metrics.answered(question.model, status, time.perf_counter() - started, told)
            if status == ClientGoneError.status:
                self.metrics.rejected(question.model, ClientGoneError.code)
        record.telemetry, record.error = told, reply.error
        return reply

    async def _ask(self, question: Question, version: Version, request_id: str, token: str | None) -> Reply:
        record = logs.current()
        for left in range(self.settings.retries, -1, -1):
            record.attempts += 1
            try:
                return await self._attempt(question, version, request_id, token)
            except (WorkerDiedError, ConnectionLostError) as error:
                if not left:
                    return self._reject(question, error)
                self.metrics.retried(question.model)
            except FrontError as error:
                return self._reject(question, error)
            except RequestError as error:
                return reply_to(error)
        raise AssertionError("retries is at least 0")

    async def _attempt(self, question: Question, version: Version, request_id: str, token: str | None) -> Reply:
        """Raises RequestError: no worker answered."""
        sent_s = time.monotonic()
        head = Head(question.options, question.accept, question.explain, request_id, sent_s)
        body = pack(head, question.image)
        asked = self.upstream.predict(question.model, question.version, body, token)
        raw = await self._under_way.wait((version.model, version.name), asked)
        fault = find_fault(raw, question.model, question.version)
        if fault is None:
            reply = _reply(raw)
            if reply.status == LaterError.status and reply.error:  # memory or time ran out: it may be sent again
                self.metrics.rejected(question.model, reply.error)
            return reply
        if isinstance(fault, NoWorkerError) and await self._has_workers(version):
            raise QueueFullError(question.model)
        if isinstance(fault, WorkerDiedError) and 0 < version.response_timeout_s <= time.monotonic() - sent_s:
            raise WorkerTimeoutError(question.model)  # TorchServe ends a worker that takes longer: it might again
        if isinstance(fault, TokenInvalidError) and self.settings.token_file is not None:
            raise UnavailableError(question.model)  # the caller's token was good; TorchServe's key became another one
        try:
            raise fault
        finally:
            del fault  # else error and frame hold each other, and the photo with them, until a garbage collection

    async def _has_workers(self, version: Version) -> bool:
        """Whether there are any, living or not: TorchServe says the same of a queue that is full."""
        if self.catalogue.age_s > _FRESH_S:
            await self.catalogue.refresh()
        try:
            return bool(self.catalogue.workers(version.model, version.name))
        except (UnknownModelError, UnknownVersionError):
            return False

    def _reject(self, question: Question, error: FrontError) -> Reply:
        self.metrics.rejected(question.model, error.code)
        return reply_to(error)


def _reply(raw: Raw) -> Reply:
    """What a worker answered, without what is for the front alone."""
    told = raw.headers.get(_TELEMETRY)
    headers = {name: text for name, text in raw.headers.items() if name.startswith(_PUBLIC) and name != _TELEMETRY}
    return Reply(
        raw.status,
        raw.body,
        raw.headers.get("content-type", "application/octet-stream"),
        headers,
        _read_telemetry(told) if told else None,
        _error_code(raw) if raw.status >= 400 else None,
    )


def _read_telemetry(text: str) -> Telemetry | None:
    try:
        return Telemetry.from_header(text)
    except ValueError as error:
        log.warning("a worker's measurements were not understood: %s", error)
        return None


def _error_code(raw: Raw) -> str:
    try:
        return str(json.loads(raw.body)["error"]["code"])
    except (ValueError, KeyError, TypeError):
        return "internal"
