"""A client that keeps books: of every request, what came back, how often, and whose answer it was."""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from tests.failure.numbered import OPTIONS, make_photo, read_number

TIMEOUT_S = 120
RETRYABLE = {503, 504}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request."""

    number: int
    request_id: str
    status: int | None  # None: the connection ended without an answer
    fault: str | None  # of an answer that is not this request's, or not as errors must be
    code: str = ""  # of an error
    retry_after: str | None = None


@dataclass(frozen=True)
class Books:
    """All outcomes of a load, in the order of their requests' numbers."""

    outcomes: tuple[Outcome, ...]

    @property
    def statuses(self) -> Counter[int | None]:
        return Counter(outcome.status for outcome in self.outcomes)

    @property
    def codes(self) -> Counter[str]:
        return Counter(outcome.code for outcome in self.outcomes if outcome.code)

    @property
    def faults(self) -> list[str]:
        return [f"{outcome.request_id}: {outcome.fault}" for outcome in self.outcomes if outcome.fault]

    @property
    def lost(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.status is None]

    def check_each_answered_once(self, count: int) -> None:
        """``count`` requests, one answer each, and its own; whatever is no 200 is retryable and says when."""
        assert [outcome.number for outcome in self.outcomes] == list(range(count))
        assert not self.faults, self.faults[:5]
        assert not self.lost, f"{len(self.lost)} requests without an answer: {self.lost[:5]}"
        refused = [outcome for outcome in self.outcomes if outcome.status != 200]
        unhelpful = [o for o in refused if o.status not in RETRYABLE or not (o.retry_after or "").isdigit()]
        assert not unhelpful, f"{len(unhelpful)} refusals that do not say when to come back: {unhelpful[:5]}"


@dataclass
class CountingLoad:
    """``count`` numbered requests over ``parallel`` connections; use it as a context, or `run` it.

    Args:
        url: Of a model made of `OddsNet`.
        options: Sent as X-Weakseg- headers beside those that make masks repeat numbers.
    """

    url: str
    count: int
    parallel: int = 4
    options: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    prefix: str = "count"

    def __post_init__(self) -> None:
        self._outcomes: list[Outcome] = []
        self._changed = threading.Condition()
        self._numbers = iter(range(self.count))
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(self.parallel)]

    def __enter__(self) -> CountingLoad:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join()

    def run(self) -> Books:
        with self:
            pass
        return self.books()

    def wait_for(self, answers: int) -> None:
        """Until so many requests have their outcome."""
        with self._changed:
            done = self._changed.wait_for(lambda: len(self._outcomes) >= answers, TIMEOUT_S)
        assert done, f"{len(self._outcomes)} of {answers} answers"

    def books(self) -> Books:
        return Books(tuple(sorted(self._outcomes, key=lambda outcome: outcome.number)))

    def _next(self) -> int | None:
        with self._changed:
            return next(self._numbers, None)

    def _work(self) -> None:
        caller = Caller(self.url, {**OPTIONS, **self.options}, self.headers)
        for number in iter(self._next, None):
            outcome = caller.ask(number, f"{self.prefix}-{number}")
            with self._changed:
                self._outcomes.append(outcome)
                self._changed.notify_all()
        caller.close()


class Caller:
    """One connection, kept open as long as the server keeps it."""

    def __init__(self, url: str, options: Mapping[str, str], headers: Mapping[str, str]) -> None:
        parts = urllib.parse.urlsplit(url)
        self._path = parts.path
        named = {f"X-Weakseg-{name.replace('_', '-')}": value for name, value in options.items()}
        self._headers = {"Content-Type": "image/png", **named, **headers}
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)

    def ask(self, number: int, request_id: str) -> Outcome:
        """Send photo ``number``; never raises for what the service does."""
        headers = {**self._headers, "X-Request-Id": request_id}
        try:
            self._connection.request("POST", self._path, make_photo(number), headers)
            answer = self._connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            return Outcome(number, request_id, None, None, code=type(error).__name__)
        return _judge(number, request_id, answer.status, answer.headers, body)

    def close(self) -> None:
        self._connection.close()


def _judge(number: int, request_id: str, status: int, headers: Mapping[str, str], body: bytes) -> Outcome:
    echoed = headers.get("X-Request-Id")
    fault = None if echoed == request_id else f"the answer has the request id {echoed!r}"
    if status == 200:
        return Outcome(number, request_id, status, fault or _mask_fault(number, body))
    code, problem = _read_code(body)
    return Outcome(number, request_id, status, fault or problem, code, headers.get("Retry-After"))


def _mask_fault(number: int, body: bytes) -> str | None:
    try:
        answered = read_number(body)
    except (ValueError, OSError) as error:
        return f"no mask of a numbered photo: {error}"
    return None if answered == number else f"the mask is that of photo {answered}"


def _read_code(body: bytes) -> tuple[str, str | None]:
    try:
        return json.loads(body)["error"]["code"], None
    except (ValueError, KeyError, TypeError) as problem:
        return "", f"no error body: {problem!r} in {body[:200]!r}"


def mix(
    good: Iterator[Callable[[], None]], bad: Iterable[Callable[[], None]], share: float
) -> Iterator[Callable[[], None]]:
    """Each of ``bad`` once, evenly among as many of ``good`` as make it ``share`` of the whole."""
    per_bad = round(1 / share) - 1
    for ask in bad:
        yield from itertools.islice(good, per_bad)
        yield ask
