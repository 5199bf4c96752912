"""KServe's protocols against real workers: masks are those of /predictions."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import tritonclient.http as triton
from PIL import Image
from tritonclient.utils import InferenceServerException

from tests.e2e.conftest import MODELS, Service
from tests.helpers.http import post_form
from tests.helpers.launcher import ROOT
from tests.helpers.photos import cat, cat_photo, encode

PYTHON = re.compile(r"^```python\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
OPTIONS = {"classes": "cat,beagle", "refine": "none", "threshold": "0.4"}
PHOTOS = [cat(), cat(96, 64).resize((120, 80))]  # two that differ, of one size
PICTURES = [encode(photo, "PNG") for photo in PHOTOS]


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(service.launcher.url.removeprefix("http://")) as made:
        yield made


@pytest.fixture(scope="module")
def masks(service: Service) -> np.ndarray[Any, Any]:
    """(2, 80, 120) uint8, by /predictions."""
    replies = [post_form(service.tiny, picture, **OPTIONS) for picture in PICTURES]
    made = np.stack([np.asarray(Image.open(io.BytesIO(reply.body))) for reply in replies])
    assert made.any()
    assert not np.array_equal(made[0], made[1])
    return made


def test_health_and_metadata(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    for name in MODELS.split(","):
        assert client.is_model_ready(name)
    model = client.get_model_metadata("tiny_cam")
    assert model["platform"] == "onnxruntime_onnx"
    assert {"classes", "refine", "format"} <= model["parameters"].keys()
    assert {entry["name"] for entry in client.get_model_repository_index()} >= set(MODELS.split(","))


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("datatype", ["BYTES", "UINT8"])
def test_masks_are_those_of_predictions(
    client: triton.InferenceServerClient, masks: np.ndarray[Any, Any], datatype: str, binary: bool
) -> None:
    if datatype == "UINT8":
        values = np.stack([np.asarray(photo) for photo in PHOTOS])
    else:
        elements = PICTURES if binary else [base64.b64encode(picture) for picture in PICTURES]
        values = np.array(elements, dtype=np.object_)
    asked = triton.InferInput("image", list(values.shape), datatype)
    asked.set_data_from_numpy(values, binary_data=binary)
    wanted = [triton.InferRequestedOutput("mask", binary_data=binary)]
    result = client.infer("tiny_cam", [asked], outputs=wanted, parameters=OPTIONS)
    assert np.array_equal(result.as_numpy("mask"), masks)


def test_all_outputs_at_once(client: triton.InferenceServerClient, masks: np.ndarray[Any, Any]) -> None:
    asked = triton.InferInput("image", [2], "BYTES")
    asked.set_data_from_numpy(np.array(PICTURES, dtype=np.object_))
    result = client.infer("tiny_cam", [asked], parameters=OPTIONS, request_compression_algorithm="gzip")
    assert np.array_equal(result.as_numpy("mask"), masks)
    documents = [json.loads(text) for text in result.as_numpy("answer")]
    segments = [json.loads(text) for text in result.as_numpy("segments")]
    for document, found, mask in zip(documents, segments, masks, strict=True):
        assert [segment["label"] for segment in document["segments"]] == ["cat", "beagle"]
        assert [segment["area_px"] for segment in found] == [int((mask == value).sum()) for value in (1, 2)]


def test_a_mistake_is_explained(client: triton.InferenceServerClient) -> None:
    asked = triton.InferInput("image", [1], "BYTES")
    asked.set_data_from_numpy(np.array(PICTURES[:1], dtype=np.object_))
    with pytest.raises(InferenceServerException, match=r"classes: photo 0: 'beagel' .* beagle") as caught:
        client.infer("tiny_cam", [asked], parameters={"classes": "beagel"})
    assert caught.value.status() == "400"


def test_the_client_of_the_readme(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = (code for code in PYTHON.findall((ROOT / "README.md").read_text(encoding="utf-8")) if "triton" in code)
    (tmp_path / ".weakseg").symlink_to(service.launcher.state)
    monkeypatch.chdir(tmp_path)
    made: dict[str, Any] = {}
    exec(block.replace("127.0.0.1:8080", service.launcher.url.removeprefix("http://")), made)
    assert made["mask"].shape == (1, *made["photo"].shape[:2])
    assert made["mask"].any()


def test_v1(service: Service) -> None:
    url = f"{service.launcher.url}/v1/models/tiny_cam"
    assert requests.get(url, timeout=120).json() == {"name": "tiny_cam", "ready": True}
    photo = cat_photo()
    image = {"b64": base64.b64encode(photo).decode()}
    instances = [{"image": image, "classes": "cat"}, {"image": image, "classes": "beagle", "format": "mask"}]
    document, picture = requests.post(f"{url}:predict", json={"instances": instances}, timeout=120).json()[
        "predictions"
    ]
    assert [segment["label"] for segment in document["segments"]] == ["cat"]
    assert base64.b64decode(picture["b64"]) == post_form(service.tiny, photo, classes="beagle").body
    (heat,) = requests.post(f"{url}:explain", json={"instances": [{"image": image}]}, timeout=120).json()[
        "explanations"
    ]
    assert Image.open(io.BytesIO(base64.b64decode(heat["b64"]))).size == (120, 80)
    wrong = requests.post(f"{url}:predict", json={"instances": [{"image": image, "box": "5"}]}, timeout=120)
    assert (wrong.status_code, wrong.json()["field"]) == (400, "box")
