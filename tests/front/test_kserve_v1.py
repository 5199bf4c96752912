"""KServe's v1 protocol, by an ordinary HTTP client."""

from __future__ import annotations

import base64
import gzip
import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import requests
from PIL import Image

from tests.helpers.fake_torchserve import FakeTorchServe
from tests.helpers.front import Front, running_front
from tests.helpers.red_worker import LABEL, answer_red, encoded, photo, red_mask

PHOTOS = [photo(12, 7, (2, 9)), photo(9, 5, (0, 3))]
B64 = [base64.b64encode(encoded(rgb)).decode() for rgb in PHOTOS]


@pytest.fixture(scope="module")
def torchserve() -> Iterator[FakeTorchServe]:
    with FakeTorchServe() as fake:
        fake.add_model("weakseg")
        fake.worker = answer_red
        yield fake


@pytest.fixture(scope="module")
def front(torchserve: FakeTorchServe, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """One for all of this file: a start takes longer than a test."""
    with running_front(torchserve, tmp_path_factory.mktemp("front")) as running:
        yield running


@pytest.fixture(autouse=True)
def _forget(torchserve: FakeTorchServe) -> None:
    torchserve.seen.clear()


def ask(front: Front, verb: str, document: Any, **settings: Any) -> requests.Response:
    return requests.post(f"{front.url}/v1/models/weakseg:{verb}", json=document, timeout=60, **settings)


def test_models(front: Front) -> None:
    assert requests.get(f"{front.url}/v1/models", timeout=60).json() == {"models": ["weakseg"]}
    ready = requests.get(f"{front.url}/v1/models/weakseg", timeout=60)
    assert (ready.status_code, ready.json()) == (200, {"name": "weakseg", "ready": True})
    assert requests.get(f"{front.url}/v1/models/nosuch", timeout=60).status_code == 404


def test_predictions_are_documents(front: Front, torchserve: FakeTorchServe) -> None:
    instances = [{"image": {"b64": B64[0]}, "classes": ["red"]}, {"image": B64[1], "Refine": "crf"}]
    reply = ask(front, "predict", {"instances": instances}, headers={"X-Request-Id": "mine"})
    assert reply.status_code == 200
    assert reply.headers["x-request-id"] == "mine"
    assert reply.headers["x-weakseg-version"] == "1.0"
    first, second = reply.json()["predictions"]
    assert (first["image"], second["image"]) == ({"width": 12, "height": 7}, {"width": 9, "height": 5})
    assert (first["segments"][0]["label"], second["segments"][0]["area_px"]) == (LABEL, 15)
    options = sorted((seen.head.options for seen in torchserve.seen), key=str)
    assert options == [{"classes": ["red"]}, {"refine": "crf"}]


def test_pictures_where_an_instance_asks_for_one(front: Front) -> None:
    instances = [{"image": B64[0], "format": "mask"}, {"image": B64[1]}]
    first, second = ask(front, "predict", {"instances": instances}).json()["predictions"]
    assert first["content_type"] == "image/png"
    mask = np.asarray(Image.open(io.BytesIO(base64.b64decode(first["b64"]))))
    assert np.array_equal(mask, red_mask(PHOTOS[0]))
    assert [segment["label"] for segment in first["segments"]] == [LABEL]
    assert second["image"] == {"width": 9, "height": 5}


def test_explanations_are_pictures(front: Front, torchserve: FakeTorchServe) -> None:
    reply = ask(front, "explain", {"instances": [{"image": text} for text in B64]})
    sizes = [Image.open(io.BytesIO(base64.b64decode(each["b64"]))).size for each in reply.json()["explanations"]]
    assert sizes == [(12, 7), (9, 5)]
    assert [(seen.head.explain, seen.head.accept) for seen in torchserve.seen] == [(True, None)] * 2


MISTAKES: dict[str, tuple[Any, int, str]] = {
    "no JSON": (b"{", 400, "body: "),
    "no instances": ({}, 400, "instances: "),
    "an empty list": ({"instances": []}, 400, "instances: there is no photo."),
    "instances that are none": ({"instances": ["x"]}, 400, "instances.0: "),
    "too many": ({"instances": [{"image": B64[0]}] * 33}, 400, "instances: 33 photos are too many."),
    "no image": ({"instances": [{"image": B64[0]}, {"classes": "red"}]}, 400, "image: photo 1: there is no image."),
    "broken base64": ({"instances": [{"image": {"b64": "%"}}]}, 400, "image: photo 0: image is not valid base64"),
    "an image that is none": ({"instances": [{"image": {"url": "x"}}]}, 400, "image: photo 0: image is not a text."),
    "an unknown class": (
        {"instances": [{"image": B64[0]}, {"image": B64[0], "classes": "blue"}]},
        400,
        "image: photo 1",
    ),
    "more values than there is memory for": (b'{"instances": [' + b"{}," * 60_000 + b"{}]}", 400, "body: "),
    "no picture": ({"instances": [{"image": "aGVsbG8="}]}, 415, "image: photo 0: no. yes."),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_explained(front: Front, mistake: str) -> None:
    sent, status, begins = MISTAKES[mistake]
    body = sent if isinstance(sent, bytes) else json.dumps(sent)
    reply = requests.post(f"{front.url}/v1/models/weakseg:predict", data=body, timeout=60)
    assert reply.status_code == status
    assert reply.json()["error"].startswith(begins)
    assert reply.json()["remedy"]


def test_paths_and_methods_that_there_are_not(front: Front) -> None:
    found = {
        path: requests.request(method, f"{front.url}{path}", json={"instances": [{"image": B64[0]}]}, timeout=60)
        for method, path in (
            ("POST", "/v1/models/nosuch:predict"),
            ("POST", "/v1/models/weakseg:train"),
            ("PUT", "/v1/models/weakseg:explain"),
        )
    }
    assert {path: (reply.status_code, reply.json()["code"]) for path, reply in found.items()} == {
        "/v1/models/nosuch:predict": (404, "model_unknown"),
        "/v1/models/weakseg:train": (405, "method_not_allowed"),
        "/v1/models/weakseg:explain": (405, "method_not_allowed"),
    }
    assert all(isinstance(reply.json()["error"], str) for reply in found.values())


def test_a_compressed_body(front: Front) -> None:

    body = gzip.compress(json.dumps({"instances": [{"image": B64[0]}]}).encode())
    reply = requests.post(
        f"{front.url}/v1/models/weakseg:predict", data=body, headers={"Content-Encoding": "gzip"}, timeout=60
    )
    assert reply.json()["predictions"][0]["image"] == {"width": 12, "height": 7}
