"""KServe's protocols against real workers: masks are those of /predictions."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from PIL import Image

from tests.e2e.conftest import MODELS, Service
from tests.helpers.http import post_form
from tests.helpers.launcher import ROOT
from tests.helpers.photos import cat, cat_photo, encode
from tests.helpers.triton import Tensor, Triton, TritonError, Wanted

PYTHON = re.compile(r"^```python\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
OPTIONS = {"classes": "cat,beagle", "refine": "none", "threshold": "0.4"}
PHOTOS = [cat(), cat(96, 64).resize((120, 80))]  # two that differ, of one size
PICTURES = [encode(photo, "PNG") for photo in PHOTOS]


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[Triton]:
    with Triton(service.launcher.url) as made:
        yield made


@pytest.fixture(scope="module")
def masks(service: Service) -> np.ndarray[Any, Any]:
    """(2, 80, 120) uint8, by /predictions."""
    replies = [post_form(service.tiny, picture, **OPTIONS) for picture in PICTURES]
    made = np.stack([np.asarray(Image.open(io.BytesIO(reply.body))) for reply in replies])
    assert made.any()
    assert not np.array_equal(made[0], made[1])
    return made


def test_health_and_metadata(client: Triton) -> None:
    assert client.ask("is_server_live")
    assert client.ask("is_server_ready")
    for name in MODELS.split(","):
        assert client.ask("is_model_ready", name)
    model = client.ask("get_model_metadata", "tiny_cam")
    assert model["platform"] == "onnxruntime_onnx"
    assert {"classes", "refine", "format"} <= model["parameters"].keys()
    assert {entry["name"] for entry in client.ask("get_model_repository_index")} >= set(MODELS.split(","))


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("datatype", ["BYTES", "UINT8"])
def test_masks_are_those_of_predictions(
    client: Triton, masks: np.ndarray[Any, Any], datatype: str, binary: bool
) -> None:
    if datatype == "UINT8":
        values = np.stack([np.asarray(photo) for photo in PHOTOS])
    else:
        elements = PICTURES if binary else [base64.b64encode(picture) for picture in PICTURES]
        values = np.array(elements, dtype=np.object_)
    asked, wanted = Tensor(values, datatype, binary), Wanted("mask", binary)
    result = client.infer("tiny_cam", [asked], outputs=[wanted], parameters=OPTIONS)
    assert np.array_equal(result.tensors["mask"], masks)


def test_all_outputs_at_once(client: Triton, masks: np.ndarray[Any, Any]) -> None:
    asked = Tensor(np.array(PICTURES, dtype=np.object_), "BYTES")
    result = client.infer("tiny_cam", [asked], parameters=OPTIONS, request_compression_algorithm="gzip")
    assert np.array_equal(result.tensors["mask"], masks)
    documents = [json.loads(text) for text in result.tensors["answer"]]
    segments = [json.loads(text) for text in result.tensors["segments"]]
    for document, found, mask in zip(documents, segments, masks, strict=True):
        assert [segment["label"] for segment in document["segments"]] == ["cat", "beagle"]
        assert [segment["area_px"] for segment in found] == [int((mask == value).sum()) for value in (1, 2)]


def test_a_mistake_is_explained(client: Triton) -> None:
    asked = Tensor(np.array(PICTURES[:1], dtype=np.object_), "BYTES")
    with pytest.raises(TritonError, match=r"classes: photo 0: 'beagel' .* beagle") as caught:
        client.infer("tiny_cam", [asked], parameters={"classes": "beagel"})
    assert caught.value.status == "400"


def test_the_client_of_the_documents(service: Service, tmp_path: Path) -> None:
    (block,) = (
        code for code in PYTHON.findall((ROOT / "docs" / "api.md").read_text(encoding="utf-8")) if "triton" in code
    )
    (tmp_path / ".weakseg").symlink_to(service.launcher.state)
    script = block.replace("127.0.0.1:8080", service.launcher.url.removeprefix("http://"))
    shows = "import json; print(json.dumps([photo.shape, mask.shape, bool(mask.any())]))"
    done = subprocess.run(
        [sys.executable, "-c", f"{script}\n{shows}"], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    photo, mask, has_object = json.loads(done.stdout)
    assert (mask, has_object) == ([1, *photo[:2]], True)


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
