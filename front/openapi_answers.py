"""Answers as OpenAPI has them: masks and pictures, JSON, errors."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_SCORE: Schema = {"type": ["number", "null"], "minimum": 0, "maximum": 1}


def _object(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    return {"type": "object", "required": list(required), "properties": required | (optional or {})}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_IDENTITY = {
    **dict.fromkeys(("model", "version", "method", "network", "runtime", "device"), _TEXT),
    "demonstration": {"type": "boolean"},
}
_SEGMENT = _object(
    {
        "label": _TEXT,
        "index": {"type": "integer", "minimum": -1, "description": "-1: the object of naked GrabCut."},
        "value": {"type": "integer", "minimum": 1, "maximum": 255, "description": "Its pixels in the mask."},
        "score": _SCORE,
        "area_px": _COUNT,
        "area_fraction": {"type": "number", "minimum": 0, "maximum": 1},
        "box": {"type": ["array", "null"], "items": _COUNT, "description": "x0, y0, x1, y1."},
        "rle": _object({"size": _list(_COUNT), "counts": _TEXT}),
        "polygons": {"type": "array"},
    }
)
_SEGMENTATION = _object(
    {
        **_IDENTITY,
        "image": _object({"width": _COUNT, "height": _COUNT}),
        "scores": _list(_object({"label": _TEXT, "score": _SCORE})),
        "segments": _list(ref("Segment")),
        "warnings": _list(_TEXT),
        "options": {"type": "object", "description": "In force, those of the model's card included."},
        "timings_ms": {"type": "object", "additionalProperties": {"type": "number"}},
    },
    {"legend": _list(_object({"value": _COUNT, "label": _TEXT, "color": _TEXT}))},
)
_ERROR = _object(
    {
        "error": _object(
            {
                "code": {**_TEXT, "examples": ["class_unknown"]},
                "field": {**_TEXT, "description": "What in the request is wrong; empty where nothing is."},
                "message": _TEXT,
                "remedy": {**_TEXT, "description": "What to do."},
            }
        )
    }
)
_VERSION = {
    "version": _TEXT,
    "default": {"type": "boolean"},
    "workers_ready": _COUNT,
    "workers_wanted": _COUNT,
    "batch_size": _COUNT,
}
_ABOUT = {name: schema for name, schema in _IDENTITY.items() if name not in ("model", "version")}
_HEALTH = _object(
    {"status": {"enum": ["Healthy", "Unhealthy"]}, "software": _TEXT, "models": _list(ref("Model"))},
)
SCHEMAS: dict[str, Schema] = {
    "Error": _ERROR,
    "Segment": _SEGMENT,
    "Segmentation": _SEGMENTATION,
    "Status": _object({"status": {"enum": ["Healthy", "Unhealthy"]}}),
    "Health": _HEALTH,
    "Model": _object(
        {"model": _TEXT, "default_version": _TEXT, "versions": _list(_object(_VERSION, _ABOUT))},
    ),
    "Models": _object({"models": _list(ref("Model"))}),
    "Description": _object(
        {"model": _TEXT, **_VERSION, **_ABOUT, "classes": _list(_TEXT), "groups": _list(_TEXT)},
        {"class_count": _COUNT, "options": {"type": "object", "additionalProperties": _TEXT}},
    ),
}

_ID = {"X-Request-Id": {"description": "The caller's, or one of our own.", "schema": _TEXT}}
_LATER = {"Retry-After": {"description": "Seconds.", "required": True, "schema": {"type": "integer"}}}
_MEANING = {
    400: "Something in the request is wrong; `field` says what.",
    401: "The token is missing, wrong or expired.",
    403: "The token opens another API.",
    404: "There is no such model or version.",
    406: "Accept names no format that this service makes.",
    408: "The body did not arrive in time.",
    413: "Too many bytes or pixels, or the answer would have too many.",
    415: "The body is no picture that this service reads.",
    500: "A bug; the service's log has the details, by the request's id.",
    503: "Nothing is wrong with the request: send it again after Retry-After seconds.",
}
_FACTS = ("Model", "Version", "Method", "Demonstration", "Software", "Segments", "Options", "Timings-Ms", "Warnings")


def json_answer(name: str, description: str) -> Schema:
    """A 200 with one of SCHEMAS."""
    return {"description": description, "headers": _ID, "content": {"application/json": {"schema": ref(name)}}}


def errors(*statuses: int) -> dict[str, Schema]:
    """What these statuses mean, by status as text."""
    found = {}
    for status in statuses:
        said = json_answer("Error", _MEANING[status])
        found[str(status)] = {**said, "headers": _ID | (_LATER if status in (408, 503) else {})}
    return found


def segmentation() -> Schema:
    """A 200 in the format that was asked for."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    facts = {f"X-Weakseg-{name}": {"description": "JSON says it in a field.", "schema": _TEXT} for name in _FACTS}
    return {
        "description": "A mask, cutout, overlay or heat map (PNG), JSON, or arrays (npz).",
        "headers": _ID | facts,
        "content": {
            "image/png": binary,
            "application/json": {"schema": ref("Segmentation")},
            "application/x-npz": binary,
        },
    }
