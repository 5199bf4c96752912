"""What the OpenAPI document says of KServe's routes: statuses, answers, bodies."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

Responses = dict[int | str, dict[str, Any]]


class KServeError(BaseModel):
    """What is wrong, in one text, as KServe's clients expect it; beside it, what the service's other errors say."""

    error: str
    code: str
    field: str
    message: str
    remedy: str


class ServerMetadata(BaseModel):
    name: str
    version: str
    extensions: list[str]


class Live(BaseModel):
    live: bool


class Ready(BaseModel):
    live: bool
    ready: bool


class ModelReady(BaseModel):
    name: str
    ready: bool


class TensorMetadata(BaseModel):
    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    parameters: dict[str, str] = Field(description="Options of a request, and what they mean.")


class IndexEntry(BaseModel):
    name: str
    version: str
    state: str
    reason: str


class OutputTensor(BaseModel):
    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any] | None = None
    data: list[Any] | None = Field(None, description="Missing where the tensor follows the JSON head in binary.")


class InferResponse(BaseModel):
    model_name: str
    model_version: str | None = None
    id: str | None = None
    outputs: list[OutputTensor]


class Models(BaseModel):
    models: list[str]


class Picture(BaseModel):
    """A picture that an instance's ``format`` asked for."""

    b64: str
    content_type: str
    segments: list[dict[str, Any]] | None = None


class Predictions(BaseModel):
    predictions: list[Picture | dict[str, Any]]


class Explanations(BaseModel):
    explanations: list[Picture | dict[str, Any]]


_MEANING = {
    400: "Something in the request is wrong; member `field` says what.",
    401: "The token is missing, wrong or expired.",
    403: "The token opens another API.",
    404: "There is no such model or version.",
    408: "The body did not arrive in time.",
    413: "The body, a picture or the answer is too large.",
    415: "No picture that the service reads, or an unknown Content-Encoding.",
    503: "Nothing is wrong with the request: send it again after `Retry-After` seconds.",
}


def _responses(model: Any, description: str, *errors: int) -> Responses:
    """Of a route that answers ``model`` with a 200, and these statuses with an error."""
    failed: Responses = {status: {"model": KServeError, "description": _MEANING[status]} for status in errors}
    return {200: {"model": model, "description": description}, **failed}


_TOKEN = (401, 403, 503)
_ASKED = (400, 401, 403, 404, 408, 413, 415, 503)
_NOT_READY = "It cannot: there is no worker at the moment."

SERVER = _responses(ServerMetadata, "The server.", *_TOKEN)
LIVE = _responses(Live, "This process answers.")
READY = {**_responses(Ready, "Every model can answer."), 503: {"model": Ready, "description": _NOT_READY}}
MODEL_READY = {
    **_responses(ModelReady, "The model can answer.", 401, 403, 404),
    503: {"model": ModelReady | KServeError, "description": _NOT_READY},
}
MODEL = _responses(ModelMetadata, "The model.", *_TOKEN, 404)
INDEX = _responses(list[IndexEntry], "Every version of every model.", *_TOKEN)
INFER = _responses(InferResponse, "The outputs that were asked for; in binary those that were asked for so.", *_ASKED)
INFER[200]["content"] = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
V1_MODELS = _responses(Models, "The models.", *_TOKEN)
PREDICT = _responses(Predictions, "One prediction for each instance, in order.", *_ASKED)
EXPLAIN = _responses(Explanations, "One explanation for each instance, in order.", *_ASKED)

_MODEL = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}, "example": "weakseg"}
_VERSION = {"name": "version", "in": "path", "required": True, "schema": {"type": "string"}}
OF_MODEL = {"parameters": [_MODEL]}
OF_VERSION = {"parameters": [_MODEL, _VERSION]}
# A red PNG of 3 x 2 pixels.
_PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAMAAAACCAIAAAASFvFNAAAAFUlEQVR4nGM8ISfHwMDAwMDAxAADABMuAQhqwGVhAAAAAElFTkSuQmCC"
_PARAMETERS = {"type": "object", "additionalProperties": True}
_INPUT = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": {"const": "image"},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}, "maxItems": 8},
        "datatype": {"enum": ["BYTES", "UINT8"]},
        "parameters": {"type": "object", "properties": {"binary_data_size": {"type": "integer", "minimum": 0}}},
        "data": {"type": "array", "description": "Base64 of encoded pictures, or RGB values; missing in binary."},
    },
}
_OUTPUT = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"enum": ["mask", "segments", "answer"]},
        "parameters": {"type": "object", "properties": {"binary_data": {"type": "boolean"}}},
    },
}
_INFER_REQUEST = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string"},
        "parameters": {**_PARAMETERS, "description": "Options, as forms and JSON have them; binary_data_output."},
        "inputs": {"type": "array", "items": _INPUT, "minItems": 1, "maxItems": 1},
        "outputs": {"type": "array", "items": _OUTPUT, "maxItems": 3},
    },
}
_BINARY = {
    "type": "string",
    "format": "binary",
    "description": "The same as JSON, and binary tensors behind it; header Inference-Header-Content-Length says where.",
}
_INSTANCE = {
    "type": "object",
    "required": ["image"],
    "properties": {
        "image": {
            "anyOf": [
                {"type": "string", "contentEncoding": "base64"},
                {"type": "object", "required": ["b64"], "properties": {"b64": {"type": "string"}}},
            ]
        }
    },
    "additionalProperties": True,
    "description": "A photo and its options.",
}
_INSTANCES = {
    "type": "object",
    "required": ["instances"],
    "properties": {"instances": {"type": "array", "items": _INSTANCE, "minItems": 1, "maxItems": 32}},
}


_INFER_EXAMPLE = {
    "inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": [_PICTURE]}],
    "parameters": {"refine": "none"},
    "outputs": [{"name": "mask"}, {"name": "segments"}],
}
_INSTANCES_EXAMPLE = {"instances": [{"image": {"b64": _PICTURE}, "refine": "none"}]}


def _body(content: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": content}}


INFER_BODY = _body(
    {
        "application/json": {"schema": _INFER_REQUEST, "example": _INFER_EXAMPLE},
        "application/octet-stream": {"schema": _BINARY},
    }
)
V1_BODY = _body({"application/json": {"schema": _INSTANCES, "example": _INSTANCES_EXAMPLE}})
