"""What arrives over a wire, without any HTTP library: body, form fields and headers to a `RawRequest`."""

from __future__ import annotations

import binascii
import json
from collections.abc import Mapping
from typing import Any

from weakseg.errors import MalformedBodyError
from weakseg.types import RawRequest

HEADER_PREFIX = "x-weakseg-"
_RAW_FIELDS = ("body", "data")  # where a server puts a body that is not a form
_IMAGE_FIELD = "image"
_BLANKS = b" \t\r\n\v\f"
_PIECE = 1 << 20  # characters that are decoded or counted at once, a multiple of 4
MAX_JSON_VALUES = 100_000  # of a document with one photo and its options


def read_request(
    fields: Mapping[str, Any],
    headers: Mapping[str, str],
    *,
    query: Mapping[str, str] | None = None,
    explain: bool = False,
) -> RawRequest:
    """Find the image and the options in one request.

    Options in the body win over those of the query string, and these over ``X-Weakseg-<Option>`` headers.

    Args:
        fields: Form fields to bytes or text; or a single ``body`` (or ``data``): the raw body as bytes, or a dict where
            it was JSON and is parsed already.
        headers: Header names in any case to values.
        query: The query string's names to values.
        explain: The request came to the explanations endpoint.
    Raises:
        MalformedBodyError: JSON that is no object, base64 or text that cannot be decoded.
    """
    lower = {name.casefold(): value for name, value in headers.items()}
    options: dict[str, Any] = {
        option_name(name.removeprefix(HEADER_PREFIX)): value
        for name, value in lower.items()
        if name.startswith(HEADER_PREFIX)
    }
    body = next((fields[name] for name in _RAW_FIELDS if fields.keys() == {name}), None)
    if body is None:
        image = _as_bytes(fields.get(_IMAGE_FIELD))
        sent = {name: _as_text(name, value) for name, value in fields.items() if name != _IMAGE_FIELD}
    elif "json" in lower.get("content-type", "").casefold() or isinstance(body, (dict, list)):
        image, sent = _read_json(body)
    else:
        image, sent = _as_bytes(body), {}
    options |= {option_name(name): value for name, value in (query or {}).items()}
    options |= {option_name(name): value for name, value in sent.items()}
    return RawRequest(image, options, lower.get("accept"), explain)


def option_name(name: str) -> str:
    """The name of an option, however a caller spells it: lower case, underscores."""
    return name.strip().casefold().replace("-", "_")


def _read_json(body: Any) -> tuple[bytes | None, dict[str, Any]]:
    remedy = 'Send {"image": "<base64>", "classes": ["dog"], ...}.'
    if isinstance(body, (bytes, bytearray, str)):
        check_breadth(body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body, MAX_JSON_VALUES)
        try:
            body = json.loads(body)
        except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, nested a thousand deep
            raise MalformedBodyError(f"the body is not valid JSON ({error}).", field="body", remedy=remedy) from error
    if not isinstance(body, dict):
        raise MalformedBodyError("the body is not a JSON object.", field="body", remedy=remedy)
    sent = dict(body)
    encoded = sent.pop(_IMAGE_FIELD, None)
    return (None if encoded is None else decode_base64(encoded, field=_IMAGE_FIELD)), sent


def check_breadth(document: bytes | bytearray, most: int) -> None:
    """Look at JSON before it is parsed: its values take up to 30 times the memory of their text, all at once.

    Commas and opening brackets are counted, those within texts included; base64 has none.

    Raises:
        MalformedBodyError: more than ``most``.
    """
    found = 0
    for start in range(0, len(document), _PIECE):
        piece = document[start : start + _PIECE]
        found += sum(map(piece.count, (b",", b"[", b"{")))
        if found > most:
            raise MalformedBodyError(
                f"the JSON document has more than {most:,} values.",
                field="body",
                remedy="Send the picture as base64, or in binary, and options only.",
            )


def decode_base64(encoded: Any, *, field: str) -> bytes:
    """A picture out of a JSON document: base64, perhaps with blanks in it or as a ``data:`` URL.

    Raises:
        MalformedBodyError: it is none.
    """
    if not isinstance(encoded, str):
        raise MalformedBodyError(f"{field} is not a text.", field=field, remedy="Send the picture's bytes as base64.")
    text = encoded.partition(",")[2] if encoded.startswith("data:") else encoded
    try:
        return _decode_pieces(text.encode("ascii").translate(None, _BLANKS))
    except ValueError as error:  # binascii.Error is one
        raise MalformedBodyError(
            f"{field} is not valid base64 ({error}).", field=field, remedy="Send the picture's bytes as base64."
        ) from error


def _decode_pieces(data: bytes) -> bytes:
    """Piece by piece, so that other threads of a server get their turn."""
    if b"=" in data[:-2]:
        raise ValueError("padding before the end")
    starts = range(0, len(data), _PIECE)
    return b"".join(binascii.a2b_base64(data[start : start + _PIECE], strict_mode=True) for start in starts)


def _as_bytes(value: Any) -> bytes | None:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    return None if value is None else bytes(value)


def _as_text(name: str, value: Any) -> Any:
    if not isinstance(value, (bytes, bytearray)):
        return value
    try:
        return bytes(value).decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedBodyError(
            "the field is not UTF-8 text.",
            field=option_name(name)[:80],
            remedy="Send options as text, and the picture in field 'image'.",
        ) from error
