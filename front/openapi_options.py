"""The options of a request as OpenAPI has them: in the query string, as headers, as fields of forms and of JSON."""

from __future__ import annotations

from typing import Any

from weakseg.option_values import MAX_CLASSES
from weakseg.options import Options

Schema = dict[str, Any]

_SCHEMA = Options.model_json_schema()
_LIMITS = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum"}
_NUMBERS = r"^\s*[-+0-9.eE]+(\s*,\s*[-+0-9.eE]+){%d}\s*$"
_AS_TEXT: dict[str, Schema] = {  # what text with commas may be, where it is no single value
    "classes": {"type": "string", "minLength": 1, "examples": ["dog", "cat,151", "auto"]},
    "box": {"type": "string", "pattern": _NUMBERS % 3, "examples": ["60,10,430,290"]},
    "grabcut_mode": {
        "anyOf": [{"enum": ["pf_pb", "f_pf", "f_pb"]}, {"type": "string", "pattern": _NUMBERS % 2}],
        "examples": ["f_pf", "0.1,0.5,0.9"],
    },
}
_AS_LIST: dict[str, Schema] = {
    "classes": {"type": "array", "items": {"type": ["string", "integer"]}, "minItems": 1, "maxItems": MAX_CLASSES},
    "box": {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4},
    "grabcut_mode": {
        "type": "array",
        "items": {"type": "number", "minimum": 0, "maximum": 1},
        "minItems": 3,
        "maxItems": 3,
    },
}


def parameters() -> dict[str, Schema]:
    """Every option twice, in the query string and as a header; by a name for references."""
    named = [(place, name) for place in ("query", "header") for name in Options.model_fields]
    return {
        f"{place}_{name}": {
            "name": name if place == "query" else f"X-Weakseg-{name.replace('_', '-').title()}",
            "in": place,
            "required": False,
            "description": Options.model_fields[name].description,
            "schema": as_text(name),
        }
        for place, name in named
    }


def fields(*, lists: bool) -> dict[str, Schema]:
    """Every option as a field of a form, or (``lists``) of JSON, where a list may be one."""
    return {
        name: {**(as_value(name) if lists else as_text(name)), "description": str(field.description)}
        for name, field in Options.model_fields.items()
    }


def as_text(name: str) -> Schema:
    """One option's values in a place that holds text."""
    return _AS_TEXT.get(name) or _single(_SCHEMA["properties"][name])


def as_value(name: str) -> Schema:
    """One option's values in JSON; null is as good as none."""
    kinds = [as_text(name), *([_AS_LIST[name]] if name in _AS_LIST else []), {"type": "null"}]
    return {"anyOf": kinds}


def _single(described: Schema) -> Schema:
    """What pydantic says of a single value, in the words of JSON Schema."""
    kinds = [each for each in described.get("anyOf", [described]) if each.get("type") != "null"]
    choices = [choice for kind in kinds for choice in _choices(kind)]
    limits = {_LIMITS[name]: limit for name, limit in described.items() if name in _LIMITS}
    return {"enum": choices} if choices else {"type": kinds[0]["type"], **limits}


def _choices(kind: Schema) -> list[str]:
    if "const" in kind:
        return [kind["const"]]
    reference = str(kind.get("$ref", "")).rpartition("/")[2]
    return list(_SCHEMA["$defs"][reference]["enum"]) if reference else []
