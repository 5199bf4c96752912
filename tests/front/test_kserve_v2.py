"""KServe's Open Inference Protocol v2, by Triton's client and by hand."""

from __future__ import annotations

import base64
import gzip
import json
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.fake_torchserve import FakeTorchServe, fault
from tests.helpers.front import Front, running_front
from tests.helpers.http import Reply, post, post_json, send
from tests.helpers.red_worker import LABEL, answer_red, encoded, photo, red_mask
from tests.helpers.triton import Tensor, Triton, TritonError, Wanted

PHOTOS = [photo(12, 7, (2, 9)), photo(12, 7, (0, 3)), photo(12, 7, (11, 12))]
PICTURES = [encoded(rgb, kind) for rgb, kind in zip(PHOTOS, ("PNG", "BMP", "TIFF"), strict=True)]
MASKS = np.stack([red_mask(rgb) for rgb in PHOTOS])  # (3, 7, 12)


@pytest.fixture(scope="module")
def torchserve() -> Iterator[FakeTorchServe]:
    with FakeTorchServe() as fake:
        fake.add_model("weakseg")
        fake.cards["weakseg"]["options"] = {"classes": "Names or numbers."}
        yield fake


@pytest.fixture(scope="module")
def front(torchserve: FakeTorchServe, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """One for all of this file: a start takes longer than a test."""
    with running_front(torchserve, tmp_path_factory.mktemp("front")) as running:
        yield running


@pytest.fixture(autouse=True)
def _red(torchserve: FakeTorchServe) -> None:
    torchserve.worker = answer_red
    torchserve.seen.clear()


@pytest.fixture
def _more_models(front: Front, torchserve: FakeTorchServe) -> Iterator[None]:
    """Version 2.0 of the model, and another one whose worker is not ready."""
    torchserve.add_model("weakseg", "2.0", default=False)
    torchserve.cards["weakseg"]["options"] = {"classes": "Names or numbers."}
    torchserve.add_model("starting", workers=1, ready=0)
    refresh = front.app.state.service.catalogue.refresh
    front.thread.run(refresh())
    yield
    del torchserve.models["starting"], torchserve.models["weakseg"]["2.0"]
    front.thread.run(refresh())


@pytest.fixture(scope="module")
def client(front: Front) -> Iterator[Triton]:
    with Triton(front.url) as made:
        yield made


def images(pictures: list[bytes], *, binary: bool = True) -> Tensor:
    """Input ``image``: BYTES (N,)."""
    elements = pictures if binary else [base64.b64encode(picture) for picture in pictures]
    return Tensor(np.array(elements, dtype=np.object_), "BYTES", binary)


def pixels(values: np.ndarray[Any, Any]) -> Tensor:
    return Tensor(values, "UINT8")


def infer(front: Front, document: Any) -> Reply:
    return post_json(f"{front.url}/v2/models/weakseg/infer", document)


def a_request(**changes: Any) -> dict[str, Any]:
    """A valid request as JSON, with these changes in its input."""
    data = [base64.b64encode(PICTURES[0]).decode()]
    return {"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": data, **changes}]}


def logged(front: Front, request_id: str) -> dict[str, Any]:
    """The line of one request, once it is written."""
    for _ in range(200):
        for line in front.lines():
            if line["request_id"] == request_id:
                return line
        time.sleep(0.05)
    raise AssertionError(f"no line of {request_id}")


def test_a_service_that_is_ready(client: Triton) -> None:
    assert client.ask("is_server_live")
    assert client.ask("is_server_ready")
    assert client.ask("is_model_ready", "weakseg")


@pytest.mark.usefixtures("_more_models")
def test_metadata(client: Triton) -> None:
    assert client.ask("is_model_ready", "weakseg", "2.0")
    server = client.ask("get_server_metadata")
    assert (server["name"], "binary_tensor_data" in server["extensions"]) == ("weakseg", True)
    model = client.ask("get_model_metadata", "weakseg")
    assert model["name"] == "weakseg"
    assert model["versions"] == ["1.0", "2.0"]
    assert model["platform"] == "onnxruntime_onnx"
    assert model["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [-1]}]
    assert [(out["name"], out["datatype"], out["shape"]) for out in model["outputs"]] == [
        ("mask", "UINT8", [-1, -1, -1]),
        ("segments", "BYTES", [-1]),
        ("answer", "BYTES", [-1]),
    ]
    assert model["parameters"] == {"classes": "Names or numbers."}
    index = client.ask("get_model_repository_index")
    assert [(entry["name"], entry["version"], entry["state"]) for entry in index] == [
        ("starting", "1.0", "UNAVAILABLE"),
        ("weakseg", "1.0", "READY"),
        ("weakseg", "2.0", "READY"),
    ]


@pytest.mark.usefixtures("_more_models")
def test_a_model_without_a_ready_worker_is_not_ready(front: Front) -> None:
    reply = send("GET", f"{front.url}/v2/models/starting/ready")
    assert (reply.status, reply.json) == (503, {"name": "starting", "ready": False})
    assert send("GET", f"{front.url}/v2/health/live").json == {"live": True}
    reply = send("GET", f"{front.url}/v2/health/ready")
    assert (reply.status, reply.json) == (503, {"live": True, "ready": False})


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("asked", [images(PICTURES), images(PICTURES, binary=False), pixels(np.stack(PHOTOS))])
def test_masks_of_several_photos(client: Triton, asked: Tensor, binary: bool) -> None:
    wanted = [Wanted(name, binary) for name in ("segments", "mask")]
    result = client.infer("weakseg", [asked], outputs=wanted, request_id="seven")
    assert [out["name"] for out in result.response["outputs"]] == ["segments", "mask"]
    assert result.response["id"] == "seven"
    assert (result.response["model_name"], result.response["model_version"]) == ("weakseg", "1.0")
    assert np.array_equal(result.tensors["mask"], MASKS)
    segments = [json.loads(text) for text in result.tensors["segments"]]
    assert [(one["label"], one["area_px"]) for (one,) in segments] == [(LABEL, 49), (LABEL, 21), (LABEL, 7)]


def test_without_outputs_all_come_back(client: Triton, torchserve: FakeTorchServe) -> None:
    result = client.infer("weakseg", [images(PICTURES)], parameters={"classes": "red,green", "Grabcut-Mode": "f_pf"})
    assert np.array_equal(result.tensors["mask"], MASKS)  # out of run lengths
    assert [json.loads(text)["image"]["width"] for text in result.tensors["answer"]] == [12, 12, 12]
    assert [seen.head.options for seen in torchserve.seen] == [{"classes": "red,green", "grabcut_mode": "f_pf"}] * 3
    assert sorted(seen.image or b"" for seen in torchserve.seen) == sorted(PICTURES)


def test_an_empty_list_of_outputs_names_none(front: Front) -> None:
    outputs = infer(front, a_request() | {"outputs": []}).json["outputs"]
    assert [output["name"] for output in outputs] == ["mask", "segments", "answer"]


def test_one_photo_of_bare_pixels_as_json(front: Front) -> None:
    rgb = photo(5, 3, (1, 2))
    document = a_request(shape=[3, 5, 3], datatype="UINT8", data=rgb.tolist())
    document["outputs"] = [{"name": "mask"}]
    (mask,) = infer(front, document).json["outputs"]
    assert (mask["shape"], mask["data"]) == ([1, 3, 5], red_mask(rgb).ravel().tolist())


def test_pictures_come_back_as_they_are(client: Triton, front: Front) -> None:
    result = client.infer("weakseg", [images(PICTURES[:1])], parameters={"format": "cutout"})
    (picture,) = result.tensors["answer"]
    assert picture.startswith(b"\x89PNG")
    assert result.output("answer")["parameters"]["content_type"] == "image/png"
    assert "mask" not in result.tensors  # a cut-out has none
    document = a_request() | {"parameters": {"format": "cutout"}, "outputs": [{"name": "answer"}]}
    (answer,) = infer(front, document).json["outputs"]
    assert answer["parameters"] == {"content_type": "image/png", "encoding": "base64"}
    assert base64.b64decode(answer["data"][0]) == picture


def test_options_of_query_string_and_headers(front: Front, torchserve: FakeTorchServe) -> None:
    url = f"{front.url}/v2/models/weakseg/versions/1.0/infer?refine=crf&pick=all"
    body = json.dumps(a_request() | {"parameters": {"pick": "best"}}).encode()
    reply = post(url, body, X_Weakseg_Refine="none", X_Weakseg_Threshold="0.3", X_Request_Id="mine")
    assert (reply.status, reply.headers["x-request-id"], reply.headers["x-weakseg-model"]) == (200, "mine", "weakseg")
    (seen,) = torchserve.seen
    assert seen.head.options == {"refine": "crf", "threshold": "0.3", "pick": "best"}
    assert (seen.version, seen.head.request_id) == ("1.0", "mine")


@pytest.mark.parametrize("sent", ["gzip", "deflate"])
@pytest.mark.parametrize("wanted", [None, "gzip", "deflate"])
def test_compression(client: Triton, sent: str, wanted: str | None) -> None:
    large = photo(300, 200, (10, 150))
    result = client.infer(
        "weakseg",
        [pixels(large)],
        request_compression_algorithm=sent,
        response_compression_algorithm=wanted,
    )
    assert np.array_equal(result.tensors["mask"], red_mask(large)[None])


def test_compressed_answers_are_small(front: Front) -> None:
    document = a_request(shape=[200, 300, 3], datatype="UINT8", data=photo(300, 200, (1, 9)).tolist())
    body = json.dumps(document | {"parameters": {"binary_data_output": True}}).encode()
    url = f"{front.url}/v2/models/weakseg/infer"
    plain, small = post(url, body), post(url, body, Accept_Encoding="br, gzip;q=0.5")
    assert (plain.headers["content-encoding"], small.headers["content-encoding"]) == (None, "gzip")
    assert small.headers["inference-header-content-length"] == plain.headers["inference-header-content-length"]
    assert gzip.decompress(small.body) == plain.body
    assert len(small.body) < len(plain.body) / 20
    assert post(url, body, Accept_Encoding="gzip;q=0, deflate").headers["content-encoding"] == "deflate"


def test_bombs_and_broken_compression(front: Front) -> None:
    url = f"{front.url}/v2/models/weakseg/infer"
    body = json.dumps(a_request()).encode()
    bomb = gzip.compress(bytes(80 * 2**20))  # 80 kB, and 80 MB
    found = {}
    for name, (encoding, sent) in {
        "a bomb": ("gzip", bomb),
        "cut off": ("gzip", gzip.compress(body)[:-9]),
        "something behind it": ("gzip", gzip.compress(body) + b"more"),
        "not compressed": ("deflate", body),
        "gzip for deflate": ("deflate", gzip.compress(body)),
        "another encoding": ("br", zlib.compress(body)),
    }.items():
        reply = post(url, sent, Content_Encoding=encoding)
        found[name] = (reply.status, reply.json["code"])
    assert found == {
        "a bomb": (413, "body_too_large"),
        "cut off": (400, "body_malformed"),
        "something behind it": (400, "body_malformed"),
        "not compressed": (400, "body_malformed"),
        "gzip for deflate": (400, "body_malformed"),
        "another encoding": (415, "encoding_unsupported"),
    }
    assert front.app.state.intake.bytes == 0


def test_errors_are_text_for_the_client(client: Triton, front: Front) -> None:
    with pytest.raises(TritonError) as caught:
        client.infer("weakseg", [images([PICTURES[0], b"no picture", PICTURES[2]])])
    assert caught.value.status == "415"
    assert caught.value.message == "image: photo 1: no. yes."
    with pytest.raises(TritonError) as caught:
        client.infer("nosuch", [images(PICTURES)])
    assert caught.value.status == "404"
    assert "no model 'nosuch'" in caught.value.message
    assert not client.ask("is_model_ready", "nosuch")
    body = json.dumps(a_request() | {"parameters": {"classes": "blue"}}).encode()
    reply = post(f"{front.url}/v2/models/weakseg/infer", body, X_Request_Id="blue")
    assert reply.status == 400
    assert reply.json == {
        "error": "image: photo 0: no. yes.",
        "code": "class_unknown",
        "field": "image",
        "message": "photo 0: no.",
        "remedy": "yes.",
    }
    assert logged(front, "blue")["error"] == "class_unknown"
    reply = send("GET", f"{front.url}/v2/nothing")
    assert (reply.status, reply.json["code"], type(reply.json["error"])) == (404, "not_found", str)


def test_what_may_be_sent_again_says_so(front: Front, torchserve: FakeTorchServe) -> None:
    full = 'Model "weakseg" has no worker to serve inference request. Please use scale workers API to add workers.'
    torchserve.worker = lambda seen: fault(503, "ServiceUnavailableException", full)
    reply = infer(front, a_request())
    assert (reply.status, reply.json["code"], reply.headers["retry-after"]) == (503, "queue_full", "1")


GUARDED = {"/v2/models/weakseg/infer": str, "/v1/models/weakseg:predict": str, "/predictions/weakseg": dict}
MISTAKES: dict[str, tuple[Any, str, str]] = {
    "no JSON": (b"{", "body_malformed", "body"),
    "deep JSON": (b"[" * 100_000, "body_malformed", "body"),
    "a list": ([], "body_malformed", "body"),
    "no inputs": ({"inputs": []}, "body_malformed", "inputs"),
    "another input": (a_request(name="photo"), "body_malformed", "inputs"),
    "two inputs": ({"inputs": a_request()["inputs"] * 2}, "body_malformed", "inputs"),
    "another type": (a_request(datatype="FP32"), "body_malformed", "inputs[image].datatype"),
    "a negative shape": (a_request(shape=[-1]), "body_malformed", "inputs.0.shape.0"),
    "a shape as text": (a_request(shape=["1"]), "body_malformed", "inputs.0.shape.0"),
    "an endless shape": (a_request(shape=[2**62, 2**62]), "body_malformed", "inputs[image]"),
    "no photo": (a_request(shape=[0], data=[]), "image_missing", "inputs[image]"),
    "too many photos": (a_request(shape=[33], data=["" for _ in range(33)]), "body_malformed", "inputs[image]"),
    "fewer than the shape says": (a_request(shape=[2]), "body_malformed", "inputs[image].shape"),
    "more than the shape says": (a_request(data=["aa", ["bb"]]), "body_malformed", "inputs[image].shape"),
    "broken base64": (a_request(data=["%%%"]), "body_malformed", "inputs[image].data[0]"),
    "a number for a picture": (a_request(data=[1]), "body_malformed", "inputs[image].data[0]"),
    "four channels": (
        a_request(datatype="UINT8", shape=[1, 1, 4], data=[0] * 4),
        "body_malformed",
        "inputs[image].shape",
    ),
    "no pixels": (a_request(datatype="UINT8", shape=[0, 1, 3], data=[]), "body_malformed", "inputs[image].shape"),
    "too few values": (
        a_request(datatype="UINT8", shape=[1, 2, 3], data=[0] * 5),
        "body_malformed",
        "inputs[image].shape",
    ),
    "a value of 256": (
        a_request(datatype="UINT8", shape=[1, 1, 3], data=[0, 0, 256]),
        "body_malformed",
        "inputs[image].data",
    ),
    "half a value": (
        a_request(datatype="UINT8", shape=[1, 1, 3], data=[0, 0, 0.5]),
        "body_malformed",
        "inputs[image].data",
    ),
    "a huge value": (
        a_request(datatype="UINT8", shape=[1, 1, 3], data=[0, 0, 10**30]),
        "body_malformed",
        "inputs[image].data",
    ),
    "a text as wide as memory": (
        a_request(datatype="UINT8", shape=[1, 1, 3], data=["a" * 10_000_000, *"b" * 100_000]),
        "body_malformed",
        "inputs[image].data",
    ),
    "a true value": (
        a_request(datatype="UINT8", shape=[1, 1, 3], data=[0, 0, True]),
        "body_malformed",
        "inputs[image].data",
    ),
    "more values than there is memory for": (
        b'{"inputs": [' + b"[]," * 3_000_000 + b"[]]}",
        "body_malformed",
        "body",
    ),
    "ragged rows": (
        a_request(datatype="UINT8", shape=[1, 1, 3], data=[[0, 0], [0]]),
        "body_malformed",
        "inputs[image].data",
    ),
    "shared memory": (
        a_request(parameters={"shared_memory_region": "x"}),
        "option_unknown",
        "inputs[image].parameters",
    ),
    "data and binary": (
        a_request(parameters={"binary_data_size": 0}),
        "body_malformed",
        "inputs[image].parameters.binary_data_size",
    ),
    "another output": (a_request() | {"outputs": [{"name": "logits"}]}, "body_malformed", "outputs[0].name"),
    "an output twice": (a_request() | {"outputs": [{"name": "mask"}] * 2}, "body_malformed", "outputs[1].name"),
    "a mask of a cut-out": (
        a_request() | {"outputs": [{"name": "mask"}], "parameters": {"format": "cutout"}},
        "option_invalid",
        "format",
    ),
    "binary as text": (
        a_request() | {"parameters": {"binary_data_output": "yes"}},
        "body_malformed",
        "parameters.binary_data_output",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_explained(front: Front, mistake: str) -> None:
    sent, code, field = MISTAKES[mistake]
    body = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    reply = post(f"{front.url}/v2/models/weakseg/infer", body)
    assert (reply.status, reply.json["code"], reply.json["field"]) == (400, code, field)
    assert reply.json["error"].startswith(f"{field}: ")
    assert reply.json["remedy"]


def test_mistakes_in_binary(front: Front) -> None:
    def head(size: Any, shape: int = 1) -> bytes:
        tensor = {"name": "image", "shape": [shape], "datatype": "BYTES", "parameters": {"binary_data_size": size}}
        return json.dumps({"inputs": [tensor]}).encode()

    element = struct.pack("<I", len(PICTURES[0])) + PICTURES[0]
    good = head(len(element))
    url = f"{front.url}/v2/models/weakseg/infer"
    assert post(url, good + element, Inference_Header_Content_Length=str(len(good))).status == 200
    cases = {
        "no length of the head": (good, element, None),
        "a length behind the end": (good, element, "99999"),
        "a length that is none": (good, element, "-5"),
        "a huge length": (good, element, "9" * 400),
        "less than announced": (good, element[:-1], str(len(good))),
        "more than announced": (good, element + b"x", str(len(good))),
        "a size below zero": (head(-1), element, str(len(head(-1)))),
        "a size that is true": (head(True), element, str(len(head(True)))),
        "an element cut off": (head(3), b"\1\0\0", str(len(head(3)))),
        "a length of 5000 digits": (head(len(element)), element, "0" * 5000),
        "an element too long": (head(4), b"\xff\xff\xff\xff", str(len(head(4)))),
        "more elements": (head(2 * len(element)), element * 2, str(len(head(2 * len(element))))),
    }
    found = {}
    for name, (start, rest, length) in cases.items():
        headers = {} if length is None else {"Inference_Header_Content_Length": length}
        reply = post(url, start + rest, **headers)
        found[name] = (reply.status, reply.json["code"])
    assert found == dict.fromkeys(cases, (400, "body_malformed"))


def test_one_line_of_the_log_for_all_photos(front: Front) -> None:
    document = a_request(shape=[3], data=[base64.b64encode(picture).decode() for picture in PICTURES])
    body = json.dumps(document).encode()
    assert post(f"{front.url}/v2/models/weakseg/infer", body, X_Request_Id="three").status == 200
    line = logged(front, "three")
    assert (line["photos"], line["model"], line["status"], "attempts" in line) == (3, "weakseg", 200, False)


def test_what_the_document_shows_works(front: Front) -> None:
    document = send("GET", f"{front.url}/openapi.json").json
    for path in ("/v2/models/{model}/infer", "/v1/models/{model}:predict", "/v1/models/{model}:explain"):
        example = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"]
        assert post_json(f"{front.url}{path.format(model='weakseg')}", example).status == 200, path


def test_errors_outside_of_routes_have_the_form_of_their_path(tmp_path: Path, torchserve: FakeTorchServe) -> None:
    key_file = tmp_path / "key_file.json"
    key_file.write_text(json.dumps({"inference": {"key": "abc"}, "management": {"key": "def"}}))
    with running_front(torchserve, tmp_path, key_file=key_file) as guarded:
        found = {path: post(f"{guarded.url}{path}", b"").json["error"] for path in GUARDED}
    assert {path: type(error) for path, error in found.items()} == GUARDED
    assert found["/v2/models/weakseg/infer"].startswith("Authorization: ")


def test_photos_of_different_sizes(client: Triton) -> None:
    mixed = images([PICTURES[0], encoded(photo(9, 7, (0, 1)))])
    with pytest.raises(TritonError, match="photos of 2 sizes") as caught:
        client.infer("weakseg", [mixed])
    assert caught.value.status == "400"
    result = client.infer("weakseg", [mixed], outputs=[Wanted("answer")])
    assert [json.loads(text)["image"]["width"] for text in result.tensors["answer"]] == [12, 9]


def test_a_large_mask_wants_binary(client: Triton) -> None:
    large = photo(2100, 2000, (5, 700))
    with pytest.raises(TritonError, match="binary_data=true"):
        client.infer("weakseg", [pixels(large)], outputs=[Wanted("mask", False)])
    result = client.infer("weakseg", [pixels(large)], outputs=[Wanted("mask")])
    assert np.array_equal(result.tensors["mask"][0], red_mask(large))


def test_pixels_that_make_a_large_picture(client: Triton, torchserve: FakeTorchServe) -> None:
    """As BMP it would be more than a worker takes."""
    large = photo(2801, 2600, (5, 700))
    result = client.infer("weakseg", [pixels(large)], outputs=[Wanted("mask")])
    assert np.array_equal(result.tensors["mask"][0], red_mask(large))
    (seen,) = torchserve.seen
    assert len(seen.image or b"") < 20 * 2**20


def test_after_a_failure_no_more_photos_are_asked(front: Front, torchserve: FakeTorchServe) -> None:
    data = [base64.b64encode(b"no picture").decode()] * 32
    assert infer(front, a_request(shape=[32], data=data)).status == 415
    assert len(torchserve.seen) == 16  # those that were under way
