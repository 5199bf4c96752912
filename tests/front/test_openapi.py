"""The OpenAPI document: what it says, and whether the front keeps to it."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from PIL import Image
from schemathesis import GenerationMode

from front.app import create_app
from front.settings import Settings
from tests.helpers.fake_torchserve import FakeAnswer, FakeTorchServe, Seen, worker_error
from tests.helpers.front import Front
from tests.helpers.http import post, send
from tests.helpers.schemas import exercise, operations
from weakseg.errors import RequestError
from weakseg.options import OPTION_NAMES, Format, parse_options

PLACES = ("/predictions/{model}", "/explanations/{model}")
CASES = [
    (mode, method, path)
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    for path, item in create_app(Settings()).openapi()["paths"].items()
    for method in item
    if not path.startswith("/v")  # KServe's have tests of their own
    if mode is GenerationMode.POSITIVE or method == "post"  # a GET asks for nothing that could be wrong
]


def photo() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (6, 4)).save(file, "PNG")
    return file.getvalue()


def answer_as_a_worker(seen: Seen) -> FakeAnswer:
    """Options and picture are checked as a worker checks them; the mask is any."""
    try:
        asked = parse_options(seen.head.options)
    except RequestError as error:
        return worker_error(error.status, error.code)
    if not seen.image:
        return worker_error(400, "image_missing")
    try:
        Image.open(io.BytesIO(seen.image)).load()
    except (OSError, SyntaxError, ValueError):
        return worker_error(415, "image_unreadable")
    if asked.format is Format.NPZ:
        return FakeAnswer(200, b"npz", "application/x-npz")
    return FakeAnswer(200, b"a mask", "image/png")


@pytest.fixture
def document() -> dict[str, Any]:
    return create_app(Settings()).openapi()


def test_every_route_is_described(document: dict[str, Any]) -> None:
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    app = create_app(Settings())
    plain = {(method, route.path) for route in app.routes for method in getattr(route, "methods", ())}
    served = {(method, path) for method, path in plain if method != "HEAD" and path != "/openapi.json"}
    assert served <= described


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("method", ["post", "put"])
def test_every_option_is_described_in_every_place(document: dict[str, Any], place: str, method: str) -> None:
    operation = document["paths"][place][method]
    named = [
        document["components"]["parameters"][each["$ref"].rpartition("/")[2]] for each in operation["parameters"][1:]
    ]
    assert [each["name"] for each in named if each["in"] == "query"] == list(OPTION_NAMES)
    headers = [
        each["name"].removeprefix("X-Weakseg-").lower().replace("-", "_") for each in named if each["in"] == "header"
    ]
    assert headers == list(OPTION_NAMES)
    bodies = document["components"]["requestBodies"]["Photo"]["content"]
    for kind in ("multipart/form-data", "application/json"):
        assert set(bodies[kind]["schema"]["properties"]) == {"image", *OPTION_NAMES}


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    def follow(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(reference := node.get("$ref"), str):
                found: Any = document
                for step in reference.removeprefix("#/").split("/"):
                    found = found[step]
            for each in node.values():
                follow(each)
        elif isinstance(node, list):
            for each in node:
                follow(each)

    follow(document)
    assert "HTTPValidationError" not in json.dumps(document)


def test_tokens_are_described_where_they_are_needed(tmp_path: Any) -> None:
    assert "security" not in create_app(Settings()).openapi()
    assert create_app(Settings(key_file=tmp_path / "keys.json")).openapi()["security"] == [{"token": []}]


def test_it_is_served(front: Front, document: dict[str, Any]) -> None:
    assert send("GET", f"{front.url}/openapi.json").json == document


@pytest.mark.parametrize(("mode", "method", "path"), CASES)
def test_no_request_meets_an_answer_that_is_not_described(
    front: Front, torchserve: FakeTorchServe, mode: GenerationMode, method: str, path: str
) -> None:
    torchserve.worker = answer_as_a_worker
    (operation,) = (each for each in operations(front.url) if (each.method, each.path) == (method, path))
    real = {name: value for name, value in (("model", "weakseg"), ("version", "1.0")) if f"{{{name}}}" in path}
    for changes in [{}, *([{"path_parameters": real}] if real else [])]:
        statuses = exercise(operation, mode, 5, **changes)
        assert all(status < 500 for status in statuses)


def test_a_picture_is_accepted_under_any_content_type(front: Front, torchserve: FakeTorchServe) -> None:
    torchserve.worker = answer_as_a_worker
    for kind in ("image/png", "application/octet-stream", "application/x-www-form-urlencoded", "text/plain", "*/*", ""):
        assert post(f"{front.url}/predictions/weakseg", photo(), Content_Type=kind).status == 200, kind
