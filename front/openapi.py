"""The OpenAPI document: what is accepted and returned, as it is.

Predictions are plain routes, whose bodies no framework parses; what is said of them here comes from the same option
tables that the workers read.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from front import openapi_answers as answers
from front import openapi_options as options
from front.settings import Settings

Schema = dict[str, Any]

_DESCRIPTION = """Photos in, masks of objects out: see docs/api.md for what each option does.

Options may come as fields of the body, in the query string, or as headers X-Weakseg-...; where one comes several times,
the body wins over the query string, and that over headers."""
_TOKEN = (401, 403)
_PREDICTION = (400, *_TOKEN, 404, 406, 408, 413, 415, 500, 503)
_OWN = {  # paths whose answers are described here; KServe's describe themselves
    "/ping": (answers.json_answer("Status", "A model can answer."), "Status", ()),
    "/health": (answers.json_answer("Health", "A model can answer."), "Health", ()),
    "/models": (answers.json_answer("Models", "The models."), "Error", _TOKEN),
    "/models/{model}": (answers.json_answer("Description", "The model."), "Error", (*_TOKEN, 404)),
    "/models/{model}/{version}": (answers.json_answer("Description", "The model."), "Error", (*_TOKEN, 404)),
}


def describe(app: FastAPI, settings: Settings) -> Schema:
    """The document; made once."""
    if app.openapi_schema is None:
        app.openapi_schema = _make(app, settings)
    return app.openapi_schema


def _make(app: FastAPI, settings: Settings) -> Schema:
    document = get_openapi(title=app.title, version=app.version, description=_DESCRIPTION, routes=app.routes)
    paths, components = document["paths"], document.setdefault("components", {})
    for path, (found, unready, statuses) in _OWN.items():
        told = {"200": found, **answers.errors(*statuses, 503)}
        if unready != "Error":
            told["503"] = answers.json_answer(unready, "No model has a worker.")
        paths[path]["get"]["responses"] = told
    for place in ("predictions", "explanations"):
        paths[f"/{place}/{{model}}"] = _prediction(place, versioned=False)
        paths[f"/{place}/{{model}}/{{version}}"] = _prediction(place, versioned=True)
    for operation in (operation for item in paths.values() for operation in item.values()):
        operation["responses"].pop("422", None)  # FastAPI's own, which no route gives
    components.setdefault("schemas", {}).update(answers.SCHEMAS)
    components["parameters"] = options.parameters()
    components["requestBodies"] = {"Photo": {"required": True, "content": _bodies()}}
    components["responses"] = {"Segmentation": answers.segmentation()}
    for name in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(name, None)
    if settings.needs_token:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
    return document


def _prediction(place: str, *, versioned: bool) -> Schema:
    """POST and PUT of one path."""
    names = ("model", "version") if versioned else ("model",)
    in_path = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]
    what = "The segmentation of a photo." if place == "predictions" else "The heat map behind a segmentation."
    return {
        method: {
            "tags": [place],
            "summary": what,
            "operationId": f"{method}_{place}" + ("_of_version" if versioned else ""),
            "parameters": [*in_path, *({"$ref": f"#/components/parameters/{name}"} for name in options.parameters())],
            "requestBody": {"$ref": "#/components/requestBodies/Photo"},
            "responses": {"200": {"$ref": "#/components/responses/Segmentation"}, **answers.errors(*_PREDICTION)},
        }
        for method in ("post", "put")
    }


def _bodies() -> Schema:
    """A picture under any name but a form's and JSON's; a form; JSON."""
    binary = {"type": "string", "format": "binary", "description": "JPEG, PNG, WebP, BMP or TIFF."}
    encoded = {"type": "string", "contentEncoding": "base64", "description": "A picture; a data: URL is one, too."}
    form = {"type": "object", "required": ["image"], "properties": {"image": binary, **options.fields(lists=False)}}
    document = {
        "type": "object",
        "required": ["image"],
        "properties": {"image": encoded, **options.fields(lists=True)},
        "additionalProperties": False,
    }
    pictures = ("image/jpeg", "image/png", "image/webp", "image/bmp", "image/tiff", "application/octet-stream")
    return {
        **{kind: {"schema": binary} for kind in pictures},
        "multipart/form-data": {"schema": {**form, "additionalProperties": False}},
        "application/json": {"schema": document},
    }
