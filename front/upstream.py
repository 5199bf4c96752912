"""TorchServe, as the front sees it: one pool of connections, and what its answers mean.

TorchServe says little: a queue that is full and a model without workers share one 503, and what was lost with a worker
comes back as 500, 413 or 507, all with "Worker died."
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp

from front.errors import (
    BodyTooLargeError,
    InternalError,
    NoWorkerError,
    OutOfMemoryError,
    TokenInvalidError,
    UnavailableError,
    UnknownModelError,
    UnknownVersionError,
    WorkerDiedError,
    WorkerTimeoutError,
)
from front.settings import Settings
from weakseg import envelope
from weakseg.errors import RequestError

_CONNECT_TIMEOUT_S = 5.0
_PIECE = 1 << 18  # bytes written at once of a large body
_MAX_HEADER_BYTES = 1 << 17  # of one header of an answer: segments, options and warnings are JSON
log = logging.getLogger(__name__)


class ConnectionLostError(UnavailableError):
    """The connection broke before there was an answer: worth another try at once."""


class GoneError(UnavailableError):
    """The management API knows no such model."""


@dataclass(frozen=True, slots=True)
class Raw:
    """An answer as it came. ``headers``: names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Upstream:
    """TorchServe's inference and management APIs. Open it in the event loop that uses it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            max_field_size=_MAX_HEADER_BYTES,
            timeout=aiohttp.ClientTimeout(total=settings.answer_timeout_s, sock_connect=_CONNECT_TIMEOUT_S),
        )

    async def close(self) -> None:
        await self._session.close()

    async def predict(self, model: str, version: str | None, body: bytes, token: str | None) -> Raw:
        """Send one envelope.

        Raises:
            UnavailableError: TorchServe cannot be reached; ConnectionLostError: it hung up.
            WorkerTimeoutError: no answer in time.
        """
        path = f"/predictions/{quote(model, safe='')}" + (f"/{quote(version, safe='')}" if version else "")
        headers = {"Content-Type": envelope.MEDIA_TYPE}
        if token:
            headers["Authorization"] = token
        data: bytes | AsyncIterator[memoryview] = body
        if len(body) > _PIECE:
            headers["Content-Length"] = str(len(body))
            data = _pieces(body)
        try:
            async with self._session.post(self._settings.inference.url + path, data=data, headers=headers) as answer:
                content = await answer.read()
                return Raw(answer.status, {name.lower(): text for name, text in answer.headers.items()}, content)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise UnavailableError(model) from error
        except TimeoutError as error:  # aiohttp's own are subclasses
            raise WorkerTimeoutError(model) from error
        except (aiohttp.ClientError, OSError) as error:
            raise ConnectionLostError(model) from error

    async def manage(self, path: str, key: str | None, *, timeout_s: float = 10.0) -> Any:
        """GET a JSON document of the management API.

        Raises:
            GoneError: there is nothing at this path.
            UnavailableError: it cannot be reached, or does not answer with a document.
        """
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=_CONNECT_TIMEOUT_S)
        try:
            async with self._session.get(
                self._settings.management.url + path, headers=headers, timeout=timeout
            ) as answer:
                if answer.status != 200:
                    raise GoneError if answer.status == 404 else UnavailableError
                return json.loads(await answer.read())
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise UnavailableError from error

    async def make_key(self, api: str, key: str | None) -> None:
        """Have TorchServe write a new key of one of its APIs into its key file; the old one ends.

        Args:
            key: The one that makes keys.
        Raises:
            UnavailableError: it did not.
        """
        url = f"{self._settings.management.url}/token?type={quote(api, safe='')}"
        try:
            async with self._session.get(url, headers={"Authorization": f"Bearer {key}"}) as answer:
                await answer.read()
                if answer.status != 200:
                    raise UnavailableError
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise UnavailableError from error


async def _pieces(body: bytes) -> AsyncIterator[memoryview]:
    view = memoryview(body)
    for start in range(0, len(view), _PIECE):
        yield view[start : start + _PIECE]


def find_fault(raw: Raw, model: str, version: str | None) -> RequestError | None:
    """What an answer of TorchServe's own means; None where a worker answered.

    NoWorkerError may as well be a queue that is full: TorchServe says the same of both.
    """
    if raw.status < 400:
        return None
    try:
        document = json.loads(raw.body) if raw.body else {}
    except ValueError:
        document = {}
    if not isinstance(document, dict) or "error" in document:
        return None
    kind, message = str(document.get("type", "")), str(document.get("message", ""))
    if message == "Worker died.":
        return WorkerDiedError(model)
    if raw.status in (404, 503):
        return _find_missing(kind, message, model, version)
    if raw.status == 507:
        return OutOfMemoryError(model)
    if raw.status == 413:
        return BodyTooLargeError()
    if kind == "InvalidKeyException" or raw.status == 401:
        return TokenInvalidError()
    log.error("TorchServe answered %d to a request for %s: %s %s", raw.status, model, kind, message[:500])
    return InternalError()


def _find_missing(kind: str, message: str, model: str, version: str | None) -> RequestError:
    if kind == "ModelVersionNotFoundException":
        return UnknownVersionError(model, version or "", ())
    if kind in ("ModelNotFoundException", "ResourceNotFoundException"):
        return UnknownModelError(model, ())
    if "no worker" in message:
        return NoWorkerError(model)
    if "cleaning" in message:  # the worker was scaled down while the request was on its way
        return WorkerDiedError(model)
    log.error("TorchServe answered to a request for %s: %s %s", model, kind, message[:500])
    return InternalError()
