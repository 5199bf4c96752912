"""KServe's v1 protocol: JSON instances in, predictions or explanations out."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from front import kserve_documents as documents
from front.kserve_asking import (
    PhotoError,
    ask_each,
    catalogue_of,
    is_ready,
    read_inflated,
    sent_options,
    shared_headers,
)
from front.kserve_pictures import check_count
from front.kserve_tensors import as_body_error
from front.replies import Reply
from front.service import Question
from weakseg.errors import MissingImageError, RequestError
from weakseg.wire import MAX_JSON_VALUES, check_breadth, decode_base64

_IMAGE = "image"
_JSON = "application/json"
_REMEDY = 'Send {"instances": [{"image": {"b64": "<base64>"}, "classes": "dog"}]}.'
router = APIRouter(tags=["KServe v1"])


class Instances(BaseModel):
    """The body of a request; each instance is a photo with its options."""

    model_config = ConfigDict(strict=True)

    instances: list[dict[str, Any]]


@router.get("/v1/models", responses=documents.V1_MODELS)
async def models(request: Request) -> JSONResponse:
    """The names of all models."""
    return JSONResponse({"models": list(catalogue_of(request).models())})


@router.get("/v1/models/{model}", responses=documents.MODEL_READY, openapi_extra=documents.OF_MODEL)
async def model_ready(request: Request) -> JSONResponse:
    """Whether a model has a worker that can answer."""
    model = request.path_params["model"]
    catalogue = catalogue_of(request)
    can_answer = is_ready(catalogue, await catalogue.find(model, None))
    return JSONResponse({"name": model, "ready": can_answer}, 200 if can_answer else 503)


@router.post(
    "/v1/models/{model}:predict",
    responses=documents.PREDICT,
    openapi_extra={**documents.OF_MODEL, **documents.V1_BODY},
)
async def predict(request: Request) -> Response:
    """Segments of 1 to 32 photos as JSON; pictures as base64 where an instance's ``format`` asks for them."""
    return await _answer(request, "predictions")


@router.post(
    "/v1/models/{model}:explain",
    responses=documents.EXPLAIN,
    openapi_extra={**documents.OF_MODEL, **documents.V1_BODY},
)
async def explain(request: Request) -> Response:
    """Heat maps of 1 to 32 photos, as base64."""
    return await _answer(request, "explanations")


async def _answer(request: Request, member: str) -> Response:
    model = request.path_params["model"]
    body = await read_inflated(request)
    instances = await run_in_threadpool(_read_instances, body)
    is_explained = member == "explanations"
    accept = None if is_explained else _JSON
    questions = [
        Question(model, None, image, sent_options(request, options), accept, is_explained)
        for image, options in instances
    ]
    replies = await ask_each(request, questions)
    return await run_in_threadpool(_respond, member, replies)


def _read_instances(body: bytes) -> list[tuple[bytes, dict[str, Any]]]:
    """Picture and options of each instance.

    Raises:
        RequestError: the body is not such a document.
        PhotoError: an instance is none; names its place.
    """
    check_breadth(body, MAX_JSON_VALUES)
    try:
        read = Instances.model_validate_json(body)
    except ValidationError as error:
        raise as_body_error(error, _REMEDY) from error
    check_count(len(read.instances), "instances")
    found = []
    for place, instance in enumerate(read.instances):
        try:
            found.append(_read_instance(instance))
        except RequestError as error:
            raise PhotoError.of(place, error) from error
    return found


def _read_instance(instance: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
    options = dict(instance)
    image = options.pop(_IMAGE, None)
    if isinstance(image, dict) and image.keys() == {"b64"}:
        image = image["b64"]
    if image is None:
        raise MissingImageError("there is no image.", field=_IMAGE, remedy=_REMEDY)
    return decode_base64(image, field=_IMAGE), options


def _respond(member: str, replies: Sequence[Reply]) -> Response:
    answers = b",".join(map(_as_json, replies))  # as the workers wrote them: nothing is parsed again
    body = b'{"' + member.encode() + b'":[' + answers + b"]}"
    return Response(body, 200, shared_headers(replies), _JSON)


def _as_json(reply: Reply) -> bytes:
    if reply.content_type == _JSON:
        return reply.body
    picture = {"b64": base64.b64encode(reply.body).decode("ascii"), "content_type": reply.content_type}
    if "x-weakseg-segments" in reply.headers:
        picture["segments"] = json.loads(reply.headers["x-weakseg-segments"])
    return json.dumps(picture, separators=(",", ":")).encode()
