"""KServe's requests to the workers: what they send, several photos at once, and one error for all of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from front.bodies import read_body
from front.catalogue import Catalogue, Version
from front.compression import Inflation
from front.logs import current
from front.service import Question, Reply, Service
from weakseg.errors import AnswerTooLargeError, RequestError
from weakseg.wire import option_name, read_request

MAX_OUTPUT_BYTES = 60_000_000  # of one answer, however many photos it is of: as many as one worker may send
_AT_ONCE = 16  # two batches of most models: one request does not fill a model's queue of 100


class PhotoError(RequestError):
    """A photo of the request has no answer with a 200. KServe's protocols have one status for all of them.

    Args:
        place: Of the photo in the request, from 0.
        status, retry_after_s: As the photo alone would have been answered.
        told: code, field, message and remedy.
    """

    def __init__(self, place: int, status: int, retry_after_s: int | None, told: Mapping[str, str]) -> None:
        super().__init__(f"photo {place}: {told['message']}", field=told["field"], remedy=told["remedy"])
        self.code = told["code"]  # type: ignore[misc]  # other errors have one of each for all of a class
        self.status = status  # type: ignore[misc]
        self.retry_after_s = retry_after_s  # type: ignore[misc]

    @classmethod
    def of(cls, place: int, error: RequestError) -> PhotoError:
        """``error`` was found before the photo was asked about."""
        return cls(place, error.status, error.retry_after_s, error.as_dict()["error"])

    @classmethod
    def answered(cls, place: int, reply: Reply) -> PhotoError:
        """A worker, or the service in its place, has answered with an error."""
        seconds = reply.headers.get("retry-after")
        return cls(place, reply.status, int(seconds) if seconds else None, json.loads(reply.body)["error"])


def catalogue_of(request: Request) -> Catalogue:
    """The models that there are."""
    catalogue: Catalogue = request.app.state.service.catalogue
    return catalogue


def is_ready(catalogue: Catalogue, version: Version) -> bool:
    """Whether it can answer, as far as that is known of late: one worker will do."""
    return catalogue.is_current and version.ready_workers > 0


async def read_inflated(request: Request) -> bytes:
    """The body without its Content-Encoding; what it takes up counts as the body's own bytes do.

    Raises:
        RequestError: as `read_body`, `Inflation` and `Intake.hold`.
    """
    body = await read_body(request)
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.strip().casefold() in ("", "identity"):
        return body
    inflation, pieces = Inflation(body, encoding), []
    while piece := await run_in_threadpool(inflation.next_piece):
        request.app.state.intake.hold(current(), len(piece))
        pieces.append(piece)
    return b"".join(pieces)


def sent_options(request: Request, body: Mapping[str, Any]) -> dict[str, Any]:
    """Options of the body, which win over the query string's, and these over the headers'."""
    outside = read_request({}, request.headers, query=request.query_params).options
    return {**outside, **{option_name(name): value for name, value in body.items()}}


async def ask_each(request: Request, questions: Sequence[Question]) -> list[Reply]:
    """The replies to all questions, in order; workers see up to 16 at once, so that they make batches of them.

    Once one failed, or all together are too large, no more are asked; those under way are waited for.

    Raises:
        PhotoError: the first photo, by place, that failed.
        AnswerTooLargeError: the answers have more than MAX_OUTPUT_BYTES.
    """
    service: Service = request.app.state.service
    state = request.scope["state"]
    room, size, failed = asyncio.Semaphore(_AT_ONCE), 0, False

    async def ask(question: Question) -> Reply | None:
        nonlocal size, failed
        async with room:
            if failed or size > MAX_OUTPUT_BYTES:
                return None
            reply = await service.ask(question, request_id=state["request_id"], token=state["token"])
        size += len(reply.body)
        failed = failed or reply.status != 200
        return reply

    replies = await asyncio.gather(*map(ask, questions))
    for place, reply in enumerate(replies):
        if reply is not None and reply.status != 200:
            raise PhotoError.answered(place, reply)
    check_output_bytes(size, "format")
    return [reply for reply in replies if reply is not None]


def check_output_bytes(count: int, field: str) -> None:
    """Raises AnswerTooLargeError: more than MAX_OUTPUT_BYTES."""
    if count > MAX_OUTPUT_BYTES:
        raise AnswerTooLargeError(
            f"the answer would have {count:,} bytes or more, and {MAX_OUTPUT_BYTES:,} are the most.",
            field=field,
            remedy="Send fewer or smaller photos in one request, or ask for format mask or json.",
        )


def shared_headers(replies: Sequence[Reply]) -> dict[str, str]:
    """The public headers on which all replies agree: who answered, whether it is the demonstration model."""
    first = replies[0].headers
    return {name: text for name, text in first.items() if all(reply.headers.get(name) == text for reply in replies)}
