"""One load test's questions, and what becomes of their answers: checked at once, or when the load is over."""

from __future__ import annotations

import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from tests.load import kserve
from tests.load.checks import find_change, find_error_fault, find_fault, find_id_fault, find_refusal_fault
from tests.load.mix import BAD_SHARE, BadRequest, GoodRequest, Transport, draw_request, make_bad_requests
from tests.load.photos import make_photos
from weakseg.archive import DEFAULT_MODEL

Request = GoodRequest | BadRequest


class Profile(StrEnum):
    """What is asked."""

    MIXED = "mixed"  # photos, options, formats, models and ways to send them, a tenth of it bad requests
    UNIFORM = "uniform"  # one photo's mask over and over: what a figure per request is made of


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Exam:
    """Checks answers, each against its own request and against what the same request got before.

    Args:
        refusals: Whether 503 with Retry-After is an answer: of a load that may be more than the service can do.
    """

    refusals: bool = False
    first_bodies: dict[str, bytes] = field(default_factory=dict)

    def find_fault(self, request: Request, request_id: str, answer: Answer) -> str | None:
        if (fault := find_id_fault(request_id, answer.headers)) is not None:
            return fault
        if self.refusals and answer.status == 503:
            return find_refusal_fault(answer.status, answer.body, answer.headers)
        if isinstance(request, BadRequest):
            return find_error_fault(request.status, request.code, answer.status, answer.body)
        if answer.status != 200:
            return f"status {answer.status}: {answer.body[:300]!r}"
        return self._find_fault_of_200(request, answer)

    def _find_fault_of_200(self, request: GoodRequest, answer: Answer) -> str | None:
        chosen, body = request.options["format"], answer.body
        if request.transport is Transport.KSERVE:
            try:
                body = kserve.read_answer(body, int(answer.headers[kserve.HEADER_LENGTH]))
            except (ValueError, KeyError, TypeError) as error:
                return f"KServe's answer cannot be read: {error!r}"
        fault = find_fault(chosen, request.photo.size_wh, body, answer.headers)
        return fault or find_change(chosen, self.first_bodies.setdefault(request.key, body), body)


class Questions:
    """Requests at random, as a profile has them."""

    def __init__(self, profile: Profile, models: Sequence[str], seed: int) -> None:
        self._profile, self._models = profile, models
        self._chance = random.Random(seed)
        self._photos = make_photos()
        self._bad = make_bad_requests(self._photos[0])
        self.labels: dict[str, Sequence[str]] = {}

    def first(self, model: str) -> GoodRequest:
        """The one whose answer holds labels that the model knows: put them into ``labels``."""
        return GoodRequest(self._photos[0], {"format": "json", "refine": "none"}, Transport.RAW, model)

    def draw(self) -> Request:
        if self._profile is Profile.UNIFORM:
            return GoodRequest(self._photos[0], {"format": "mask"}, Transport.RAW, self._models[0])
        if self._chance.random() < BAD_SHARE:
            return self._chance.choice(self._bad)
        model = self._chance.choice(self._models)
        return draw_request(self._chance, self._photos, self.labels[model], model=model, transports=list(Transport))


def name_of(request: Request) -> str:
    """The row in locust's table."""
    if isinstance(request, BadRequest):
        return f"bad: {request.code}"
    return f"{request.model}: {request.options['format']} ({request.transport})"


def encode(request: Request, token: str | None) -> tuple[str, bytes, dict[str, str], str]:
    """Path, body and headers of one request, and the id that it must come back with."""
    request_id = uuid.uuid4().hex
    if isinstance(request, BadRequest):
        arguments = request.arguments()
        path, body, headers = f"/predictions/{DEFAULT_MODEL}", arguments["data"], dict(arguments["headers"])
    else:
        path, (body, headers) = request.path, request.encode()
    headers["X-Request-Id"] = request_id
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return path, body, headers, request_id
