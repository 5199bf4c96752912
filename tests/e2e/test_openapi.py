"""The real service against its own OpenAPI document: few requests per operation, none answered with a 5xx."""

from __future__ import annotations

import pytest
from schemathesis import GenerationMode

from tests.e2e.conftest import Service
from tests.helpers.http import send
from tests.helpers.photos import cat_photo
from tests.helpers.schemas import exercise, operations

MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("path", ["/predictions/{model}", "/explanations/{model}/{version}"])
def test_any_request_gets_an_answer_that_is_described(service: Service, path: str, mode: GenerationMode) -> None:
    names = {"model": "tiny_cam", "version": "7.1"}
    real = {name: value for name, value in names.items() if f"{{{name}}}" in path}
    for operation in (each for each in operations(service.launcher.url) if each.path == path):
        anything = exercise(operation, mode, 10, path_parameters=real)
        pictures = exercise(operation, mode, 10, path_parameters=real, media_type="image/jpeg", body=cat_photo())
        assert all(status < 500 for status in anything + pictures)


@pytest.mark.parametrize("path", ["/ping", "/health", "/models", "/models/{model}"])
def test_what_is_told_is_as_described(service: Service, path: str) -> None:
    (operation,) = (each for each in operations(service.launcher.url) if each.path == path)
    real = {"path_parameters": {"model": "tiny_cam"}} if "{model}" in path else {}
    assert set(exercise(operation, GenerationMode.POSITIVE, 5, **real)) == {200}


def test_the_service_tells_on_what_it_runs(service: Service) -> None:
    send("GET", f"{service.launcher.url}/models/tiny_cam")  # a worker was asked: what it said is in /health from now on
    health = send("GET", f"{service.launcher.url}/health").json
    (tiny,) = (model for model in health["models"] if model["model"] == "tiny_cam")
    (version,) = tiny["versions"]
    expected = {"method": "cam", "runtime": "onnx", "device": "cpu", "workers_ready": 1, "demonstration": False}
    assert {name: version[name] for name in expected} == expected
