"""The service as a backend: a form per question, tried again while that may help."""

from __future__ import annotations

import asyncio
import io
import itertools
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from weakseg import __version__
from weakseg.batch.items import Failure, Reply
from weakseg.batch.patience import Patience, is_retryable, read_retry_after
from weakseg.errors import BatchError

USUAL_CONCURRENCY = 4  # per worker, or where the service does not say how many it has
MOST_CONCURRENCY = 64

# Codes and statuses that every other photo would get as well.
_FATAL_STATUSES = {
    401: "Give the token of the service with --token or WEAKSEG_TOKEN.",
    403: "Give a token for inference.",
}
_FATAL_CODES = frozenset({"model_unknown", "version_unknown", "not_found", "method_not_allowed"})


@dataclass(frozen=True, slots=True)
class Address:
    """Which model of which service.

    Args:
        url: Without a path.
        token: Sent as a bearer token; None: none is needed.
        timeout_s: Of one try, from the connection to the last byte.
    """

    url: str
    model: str
    version: str | None = None
    token: str | None = None
    timeout_s: float = 180.0

    @property
    def predictions(self) -> str:
        path = self.model if self.version is None else f"{self.model}/{self.version}"
        return f"{self.url.rstrip('/')}/predictions/{path}"

    def headers(self) -> dict[str, str]:
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Of one try: a failure that may be worth another one, or an answer."""

    body: bytes
    failure: Failure | None = None
    retry_after_s: float | None = None


class Endpoint:
    """Asks a service. Open and close it in the same event loop.

    Args:
        concurrency: Connections at a time.
        patience: How often a question is tried again.
    """

    def __init__(self, address: Address, concurrency: int, patience: Patience) -> None:
        self.retries = 0
        self._address, self._patience = address, patience
        self._chance = random.Random()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=concurrency),
            timeout=aiohttp.ClientTimeout(total=address.timeout_s),
            headers={"User-Agent": f"weakseg/{__version__} batch", **address.headers()},
        )

    async def close(self) -> None:
        await self._session.close()

    async def ask(self, image: bytes, options: Mapping[str, Any], request_id: str) -> Reply:
        """See `Backend.ask`. The n-th try has the request id ``request_id.n``."""
        started = time.monotonic()
        for tries in itertools.count(1):
            outcome = await self._try(image, options, f"{request_id}.{tries}")
            if outcome.failure is None or not outcome.failure.transient:
                break
            pause_s = self._patience.pause_s(tries, outcome.retry_after_s, self._chance)
            if time.monotonic() + pause_s > started + self._patience.total_s:
                break
            self.retries += 1
            await asyncio.sleep(pause_s)
        self._stop_if_hopeless(outcome.failure)
        return Reply(outcome.body, tries, outcome.failure)

    async def _try(self, image: bytes, options: Mapping[str, Any], request_id: str) -> _Outcome:
        form = aiohttp.FormData({name: _as_text(value) for name, value in options.items()})
        form.add_field("image", io.BytesIO(image), filename="photo", content_type="application/octet-stream")
        try:
            headers = {"X-Request-Id": request_id}
            async with self._session.post(self._address.predictions, data=form, headers=headers) as answer:
                body = await answer.read()
                if answer.status == 200:
                    return _Outcome(body)
                transient = is_retryable(answer.status, answer.headers)
                retry_after_s = read_retry_after(answer.headers.get("Retry-After"))
                return _Outcome(body, Failure.answered(answer.status, body, transient=transient), retry_after_s)
        except TimeoutError:
            return _Outcome(b"", _no_answer("timeout", f"no answer within {self._address.timeout_s:g} s"))
        except aiohttp.ClientError as error:
            return _Outcome(b"", _no_answer("unreachable", f"{type(error).__name__}: {error}"))

    def _stop_if_hopeless(self, failure: Failure | None) -> None:
        """Raises: BatchError: every other photo would be refused in the same way."""
        if failure is None:
            return
        if failure.status in (*_FATAL_STATUSES, 404) or failure.code in _FATAL_CODES:
            remedy = failure.remedy or _FATAL_STATUSES.get(failure.status, "Check --url and --model.")
            raise BatchError(f"{self._address.predictions} answers {failure.status}: {failure.message} {remedy}")


def _as_text(value: Any) -> str:
    """An option as a form field: lists with commas."""
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _no_answer(code: str, message: str) -> Failure:
    return Failure(code, f"{message}.", "Check that the service runs, and run the same command again.", transient=True)


async def find_concurrency(address: Address) -> int | None:
    """How many photos the service works on at a time, as its /health says; None where that does not say it.

    Raises:
        BatchError: the address is none.
    """
    try:
        timeout = aiohttp.ClientTimeout(total=10)
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=address.headers()) as session,
            session.get(f"{address.url.rstrip('/')}/health") as answer,
        ):
            document = await answer.json(content_type=None) if answer.status == 200 else None
    except aiohttp.InvalidURL as error:
        raise BatchError(f"--url {address.url} is no address. Give one such as http://127.0.0.1:8080.") from error
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None
    return _count_slots(document, address)


def _count_slots(document: Any, address: Address) -> int | None:
    """Photos that keep all workers of a model busy; None where the document is not as expected."""
    try:
        (model,) = [each for each in document["models"] if each["model"] == address.model]
        name = address.version or model["default_version"]
        (asked,) = [each for each in model["versions"] if each["version"] == name]
        slots = max(1, int(asked["workers_ready"])) * max(USUAL_CONCURRENCY, int(asked.get("batch_size", 0)))
        return min(slots, MOST_CONCURRENCY)
    except (KeyError, TypeError, ValueError):
        return None
