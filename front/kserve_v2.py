"""KServe's Open Inference Protocol v2, with the binary tensors of Triton's clients."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from front import kserve_documents as documents
from front.catalogue import Version
from front.compression import choose_encoding, deflate
from front.kserve_answers import accept_for, choose_outputs, make_outputs
from front.kserve_asking import ask_each, catalogue_of, is_ready, read_inflated, sent_options, shared_headers
from front.kserve_pictures import read_photos
from front.kserve_tensors import HEADER_LENGTH, InferRequest, read_infer_request, write_infer_response
from front.service import Question, Reply
from weakseg import __version__

EXTENSIONS = ("binary_tensor_data", "model_repository")
_PLATFORMS = {"onnx": "onnxruntime_onnx", "torchscript": "pytorch_torchscript"}
_OF_PROTOCOL = ("binary_data_output",)  # parameters of a request that are no options
router = APIRouter(tags=["KServe v2"])


@router.get("/v2", responses=documents.SERVER)
async def server_metadata() -> JSONResponse:
    """Name, version, and what is spoken beside the protocol itself."""
    return JSONResponse({"name": "weakseg", "version": __version__, "extensions": list(EXTENSIONS)})


@router.get("/v2/health/live", responses=documents.LIVE)
async def live() -> JSONResponse:
    """Whether this process answers."""
    return JSONResponse({"live": True})


@router.get("/v2/health/ready", responses=documents.READY)
async def ready(request: Request) -> JSONResponse:
    """Whether every model has a worker that can answer."""
    catalogue = catalogue_of(request)
    models = catalogue.models()
    all_ready = bool(models) and all(is_ready(catalogue, catalogue.version(model)) for model in models)
    return JSONResponse({"live": True, "ready": all_ready}, 200 if all_ready else 503)


@router.get("/v2/models/{model}/ready", responses=documents.MODEL_READY, openapi_extra=documents.OF_MODEL)
@router.get(
    "/v2/models/{model}/versions/{version}/ready",
    responses=documents.MODEL_READY,
    openapi_extra=documents.OF_VERSION,
)
async def model_ready(request: Request) -> JSONResponse:
    """Whether a model has a worker that can answer."""
    model, version = _asked_model(request)
    catalogue = catalogue_of(request)
    can_answer = is_ready(catalogue, await catalogue.find(model, version))
    return JSONResponse({"name": model, "ready": can_answer}, 200 if can_answer else 503)


@router.get("/v2/models/{model}", responses=documents.MODEL, openapi_extra=documents.OF_MODEL)
@router.get("/v2/models/{model}/versions/{version}", responses=documents.MODEL, openapi_extra=documents.OF_VERSION)
async def model_metadata(request: Request) -> JSONResponse:
    """Inputs, outputs, versions, and in ``parameters`` every option of a request with its meaning."""
    model, version = _asked_model(request)
    catalogue = catalogue_of(request)
    card = await catalogue.describe(model, version)
    return JSONResponse(
        {
            "name": model,
            "versions": list(catalogue.versions(model)),
            "platform": _PLATFORMS[card["runtime"]],
            "inputs": [{"name": "image", "datatype": "BYTES", "shape": [-1]}],
            "outputs": [
                {"name": "mask", "datatype": "UINT8", "shape": [-1, -1, -1]},
                {"name": "segments", "datatype": "BYTES", "shape": [-1]},
                {"name": "answer", "datatype": "BYTES", "shape": [-1]},
            ],
            "parameters": card["options"],
        }
    )


@router.post("/v2/repository/index", responses=documents.INDEX)
async def repository_index(request: Request) -> JSONResponse:
    """Every version of every model: Triton's extension, which its clients list models by."""
    catalogue = catalogue_of(request)
    versions = [catalogue.version(model, name) for model in catalogue.models() for name in catalogue.versions(model)]
    return JSONResponse([_index_entry(version, is_ready(catalogue, version)) for version in versions])


@router.post(
    "/v2/models/{model}/infer",
    responses=documents.INFER,
    openapi_extra={**documents.OF_MODEL, **documents.INFER_BODY},
)
@router.post(
    "/v2/models/{model}/versions/{version}/infer",
    responses=documents.INFER,
    openapi_extra={**documents.OF_VERSION, **documents.INFER_BODY},
)
async def infer(request: Request) -> Response:
    """Masks of 1 to 32 photos: BYTES [N] of encoded pictures, or UINT8 [N, H, W, 3]. ``parameters`` are options."""
    model, version = _asked_model(request)
    body = await read_inflated(request)
    asked = await run_in_threadpool(read_infer_request, body, request.headers.get(HEADER_LENGTH))
    sent = {name: value for name, value in asked.parameters.items() if name not in _OF_PROTOCOL}
    options = sent_options(request, sent)
    names = choose_outputs(asked, options)
    photos = await run_in_threadpool(read_photos, asked)
    questions = [Question(model, version, photo, options, accept_for(names)) for photo in photos]
    replies = await ask_each(request, questions)
    return await run_in_threadpool(_respond, asked, model, names, replies, request.headers.get("accept-encoding"))


def _asked_model(request: Request) -> tuple[str, str | None]:
    """Name and version in the path."""
    return request.path_params["model"], request.path_params.get("version")


def _respond(
    asked: InferRequest, model: str, names: tuple[str, ...], replies: list[Reply], accepted: str | None
) -> Response:
    headers = shared_headers(replies)
    head: dict[str, Any] = {"model_name": model}
    if "x-weakseg-version" in headers:
        head["model_version"] = headers["x-weakseg-version"]
    if asked.id is not None:
        head["id"] = asked.id
    binary = frozenset(name for name in names if asked.wants_binary(name))
    body, length = write_infer_response(head, make_outputs(names, replies), binary)
    if binary:
        headers[HEADER_LENGTH] = str(length)
    encoding = choose_encoding(accepted, len(body))
    if encoding is not None:
        body, headers["Content-Encoding"], headers["Vary"] = deflate(body, encoding), encoding, "Accept-Encoding"
    return Response(body, 200, headers, "application/octet-stream" if binary else "application/json")


def _index_entry(version: Version, can_answer: bool) -> dict[str, str]:
    return {
        "name": version.model,
        "version": version.name,
        "state": "READY" if can_answer else "UNAVAILABLE",
        "reason": "" if can_answer else "no worker is ready",
    }
