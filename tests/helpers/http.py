"""A plain HTTP client for the tests: every status is an answer, none an exception."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

BOUNDARY = "a-boundary-that-no-picture-holds"


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]  # names in any case
    body: bytes

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "")

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def send(
    method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None, timeout_s: float = 120
) -> Reply:
    request = urllib.request.Request(url, body, dict(headers or {}), method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            return Reply(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error.code, error.headers, error.read())


def post(url: str, body: bytes, **headers: str) -> Reply:
    """A raw body; header names with underscores for hyphens."""
    return send("POST", url, body, _named(headers))


def put(url: str, body: bytes, **headers: str) -> Reply:
    """As ``curl -T`` sends it."""
    return send("PUT", url, body, _named(headers))


def post_json(url: str, document: Any) -> Reply:
    return post(url, json.dumps(document).encode(), Content_Type="application/json")


def post_form(url: str, image: bytes | None, **options: str) -> Reply:
    """multipart/form-data with the picture in ``image`` and a field per option."""
    head = f"--{BOUNDARY}\r\nContent-Disposition: form-data; name="
    parts = [f'{head}"{name}"\r\n\r\n{text}\r\n'.encode() for name, text in options.items()]
    if image is not None:
        parts.append(f'{head}"image"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'.encode() + image + b"\r\n")
    body = b"".join([*parts, f"--{BOUNDARY}--\r\n".encode()])
    return post(url, body, Content_Type=f"multipart/form-data; boundary={BOUNDARY}")


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return {"Content-Type": "application/octet-stream", **named}
