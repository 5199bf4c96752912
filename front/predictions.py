"""POST or PUT a picture to /predictions/MODEL or /explanations/MODEL."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from front.bodies import read_body
from front.forms import parse_form
from front.service import Question, Service
from weakseg.types import RawRequest
from weakseg.wire import read_request

METHODS = ["POST", "PUT"]
_SMALL = 1 << 18  # bytes that are parsed at once, without a thread: a millisecond


async def predict(request: Request) -> Response:
    return await _answer(request, explain=False)


async def explain(request: Request) -> Response:
    return await _answer(request, explain=True)


def routes() -> list[Route]:
    return [
        Route(f"/{place}/{{model}}{version}", endpoint, methods=METHODS)
        for place, endpoint in (("predictions", predict), ("explanations", explain))
        for version in ("", "/{version}")
    ]


async def _answer(request: Request, *, explain: bool) -> Response:
    body = await read_body(request)
    content_type = request.headers.get("content-type", "")
    query = dict(request.query_params) if request.scope["query_string"] else {}
    arguments: tuple[Any, ...] = (body, content_type, dict(request.headers), query, explain)
    if len(body) <= _SMALL or not _is_parsed(content_type):
        raw = read(*arguments)
    else:
        raw = await run_in_threadpool(read, *arguments)
    parameters = request.path_params
    question = Question(
        parameters["model"], parameters.get("version"), raw.image, dict(raw.options), raw.accept, raw.explain
    )
    state = request.scope["state"]
    service: Service = request.app.state.service
    reply = await service.ask(question, request_id=state["request_id"], token=state["token"])
    return reply.response()


def read(body: bytes, content_type: str, headers: dict[str, str], query: dict[str, str], explain: bool) -> RawRequest:
    """A form, JSON, or else the picture itself, whatever its type is called: curl calls it a form.

    Raises:
        MalformedBodyError: a broken form, broken JSON or base64.
    """
    fields: dict[str, Any] = {"body": body}
    if content_type[:20].casefold().startswith("multipart/form-data"):
        fields = dict(parse_form(body, content_type))
    return read_request(fields, headers, query=query, explain=explain)


def _is_parsed(content_type: str) -> bool:
    kind = content_type.casefold()
    return "json" in kind or kind.startswith("multipart/")
