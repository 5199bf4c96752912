"""CamHandler as TorchServe loads and calls it: its real loader, its real service, its wire format."""

from __future__ import annotations

import base64
import io
import json
import shutil
import struct
import sys
import time
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.helpers.photos import cat_photo as photo
from weakseg import serving
from weakseg.envelope import MEDIA_TYPE, Head, pack
from weakseg.failures import encode_error
from weakseg.options import OPTION_NAMES
from weakseg.stopwatch import STAGES
from weakseg.telemetry import HEADER, Telemetry

with warnings.catch_warnings():
    warnings.simplefilter("ignore", ResourceWarning)  # files that TorchServe leaves open
    import ts
    from ts.metrics.metric_cache_yaml_impl import MetricsCacheYamlImpl
    from ts.model_loader import ModelLoaderFactory
    from ts.service import Service

Request = dict[str, Any]

HANDLERS = Path(__file__).parents[2] / "handlers"


def request(parameters: dict[str, tuple[Any, str]], **headers: str) -> Request:
    """What TorchServe's protocol decoder makes of one request."""
    sent = {"explain": "False", **{name.replace("_", "-"): text for name, text in headers.items()}}
    return {
        "requestId": b"an id",
        "parameters": [{"name": n, "value": v, "contentType": t} for n, (v, t) in parameters.items()],
        "headers": [{"name": bytearray(n, "utf-8"), "value": bytearray(v, "utf-8")} for n, v in sent.items()],
    }


def raw(image: bytes, **headers: str) -> Request:
    return request({"body": (bytearray(image), "image/jpeg")}, **headers)


def form(image: bytes, **options: str) -> Request:
    fields = {name: (bytearray(text, "utf-8"), "") for name, text in options.items()}
    return request({"image": (bytearray(image), "image/jpeg"), **fields}, **{"Content-Type": "multipart/form-data"})


def as_json(image: bytes, **options: Any) -> Request:
    body = {"image": base64.b64encode(image).decode(), **options}
    return request({"body": (body, "application/json")}, **{"Content-Type": "application/json"})


@dataclass
class Reply:
    """One prediction as TorchServe's frontend reads it."""

    content_type: str
    status: int
    phrase: str
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, str]:
        return dict(json.loads(self.body)["error"])


class Reader:
    """Reads the answer of a worker, field by field."""

    def __init__(self, message: bytes) -> None:
        self._stream = io.BytesIO(message)

    def number(self) -> int:
        return int(struct.unpack("!i", self._stream.read(4))[0])

    def text(self) -> str:
        return self._stream.read(self.number()).decode()

    def replies(self) -> Iterator[Reply]:
        assert self.number() == 200, "the whole batch failed"
        self.text()
        while (length := self.number()) != -1:
            self._stream.read(length)  # the request's id
            content_type, status, phrase = self.text(), self.number(), self.text()
            headers = {self.text(): self.text() for _ in range(self.number())}
            yield Reply(content_type, status, phrase, headers, self._stream.read(self.number()))


@contextmanager
def load_service(archive: Path, handler: str, folder: Path) -> Iterator[Service]:
    """An archive, unpacked into ``folder`` and loaded as TorchServe's frontend has its worker do it.

    Args:
        handler: Module name of one of the repository's handlers.
    """
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder / "unpacked")
    shutil.copy(HANDLERS / f"{handler}.py", folder / "unpacked")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        metrics = MetricsCacheYamlImpl(str(Path(ts.__file__).parent / "configs" / "metrics.yaml"))
    metrics.initialize_cache()
    threads = cv2.getNumThreads()
    sys.path.insert(0, str(folder / "unpacked"))  # as the frontend sets PYTHONPATH
    try:
        loader = ModelLoaderFactory.get_model_loader()
        loaded = loader.load("tiny", str(folder / "unpacked"), f"{handler}.py", None, 8, metrics_cache=metrics)
        loaded.set_cl_socket(None)
        yield loaded
    finally:
        sys.path.remove(str(folder / "unpacked"))
        sys.modules.pop(handler, None)
        cv2.setNumThreads(threads)


@pytest.fixture(scope="module")
def service(tiny_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with load_service(tiny_archive, "cam_handler", tmp_path_factory.mktemp("model store")) as loaded:
        yield loaded


def ask(service: Service, *requests: Request) -> list[Reply]:
    return list(Reader(service.predict(list(requests))).replies())


def test_it_uses_as_many_threads_as_the_card_says(service: Service) -> None:
    assert cv2.getNumThreads() == 1


def test_a_raw_body_with_options_in_headers(service: Service) -> None:
    (reply,) = ask(service, raw(photo(), X_Weakseg_Classes="tabby", x_weakseg_refine="none"))
    assert (reply.status, reply.phrase, reply.content_type) == (200, "OK", "image/png")
    mask = Image.open(io.BytesIO(reply.body))
    assert (mask.mode, mask.size) == ("P", (120, 80))
    assert reply.headers["X-Weakseg-Model"] == "tiny_cam"
    assert reply.headers["X-Weakseg-Version"] == "7.1"
    assert reply.headers["X-Weakseg-Demonstration"] == "false"
    assert json.loads(reply.headers["X-Weakseg-Segments"])[0]["label"] == "tabby"
    assert json.loads(reply.headers["X-Weakseg-Options"])["refine"] == "none"
    assert set(json.loads(reply.headers["X-Weakseg-Timings-Ms"])) == {*STAGES, "total"}
    assert all(text.isascii() for text in reply.headers.values())


def test_the_three_ways_to_send_the_same_request(service: Service) -> None:
    options = {"classes": "cat,beagle", "refine": "none", "threshold": "0.4"}
    headers = {f"X-Weakseg-{name}": text for name, text in options.items()}
    ways = [
        raw(photo(), **headers),
        form(photo(), **options),
        as_json(photo(), classes=["cat", "beagle"], refine="none", threshold=0.4),
    ]
    replies = ask(service, *ways)
    assert [reply.status for reply in replies] == [200] * 3
    assert len({reply.body for reply in replies}) == 1


def test_a_bad_request_in_the_middle_spoils_no_neighbour(service: Service) -> None:
    batch = [
        raw(photo()),
        form(photo(90, 140), classes="dgo"),
        as_json(photo(150, 100, "PNG"), format="json"),
        raw(b"no picture at all"),
        request({"body": (["a", "list"], "application/json")}),
        request({}),
        raw(photo(), describe="True"),
        raw(photo(96, 64), explain="True"),
    ]
    replies = ask(service, *batch)
    assert [reply.status for reply in replies] == [200, 400, 200, 415, 400, 400, 200, 200]
    assert [reply.phrase for reply in replies[:2]] == ["OK", "Bad Request"]
    assert replies[1].error["code"] == "class_unknown"
    assert "dog" in replies[1].error["remedy"]
    assert json.loads(replies[2].body)["image"] == {"width": 150, "height": 100}
    assert [reply.error["code"] for reply in replies[3:6]] == ["image_unreadable", "body_malformed", "image_missing"]
    assert all(reply.content_type == "application/json" for reply in replies[1:7])
    assert json.loads(replies[6].body)["name"] == "tiny_cam"
    assert Image.open(io.BytesIO(replies[7].body)).size == (96, 64)


def test_batched_answers_equal_single_ones(service: Service) -> None:
    requests = [
        raw(photo(120, 80)),
        form(photo(64, 110, "PNG"), classes="cat,dog", refine="none"),
        as_json(photo(200, 90, "WEBP"), box=[10, 10, 150, 80], classes="none"),
        raw(photo(333, 222), X_Weakseg_Classes="table lamp", X_Weakseg_Grabcut_Mode="f_pf"),
    ]
    batched = [reply.body for reply in ask(service, *requests)]
    assert batched == [ask(service, single)[0].body for single in requests]
    assert len(set(batched)) == len(requests)


def test_auto_says_what_it_chose(service: Service) -> None:
    (reply,) = ask(service, form(photo(), budget_ms="30000"))
    in_force = json.loads(reply.headers["X-Weakseg-Options"])
    assert reply.status == 200
    assert in_force["refine"] != "auto"
    assert in_force["auto"]["budget_ms"] == 30000
    assert 0 < in_force["auto"]["estimated_ms"] < 30000
    timings_ms = json.loads(reply.headers["X-Weakseg-Timings-Ms"])
    assert in_force["auto"]["actual_ms"] == round(timings_ms["maps"] + timings_ms["refine"], 3)


def test_every_new_mistake_is_explained(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weakseg.work.find_spec", lambda name: None)  # as where pydensecrf is not installed
    wrong: list[dict[str, str]] = [
        {"crf_engine": "pydensecrf"},
        {"crf_engine": "slow"},
        {"grabcut_engine": "gimp"},
        {"guided_radius": "0"},
        {"guided_radius": "0.1", "crf_steps": "3"},
        {"budget_ms": "none"},
        {"budget_ms": "20", "refine": "crf"},
        {"refine": "auto", "sigma": "0.1"},
    ]
    replies = ask(service, *(form(photo(), **sent) for sent in wrong), form(photo(), refine="guided"))
    assert [reply.status for reply in replies] == [400] * len(wrong) + [200]
    assert [reply.error["field"] for reply in replies[:-1]] == [*(next(iter(sent)) for sent in wrong[:-1]), "sigma"]
    assert all(reply.error["remedy"] for reply in replies[:-1])


def test_the_explanations_endpoint_answers_with_the_heat_map(service: Service) -> None:
    plain, explained, asked = ask(
        service, raw(photo()), raw(photo(), explain="True"), raw(photo(), x_weakseg_format="heatmap")
    )
    assert explained.body == asked.body != plain.body


def test_custom_metadata(service: Service) -> None:
    (reply,) = ask(service, request({}, describe="True"))
    told = json.loads(reply.body)
    assert (reply.status, reply.content_type) == (200, "application/json")
    assert (told["name"], told["version"], told["network"], told["method"]) == (
        "tiny_cam",
        "7.1",
        "squeezenet1_1",
        "cam",
    )
    assert (told["class_count"], told["groups"], told["demonstration"]) == (6, ["cat", "dog"], False)
    assert (told["runtime"], told["device"]) == ("onnx", "cpu")
    assert "random" in told["weights"]
    assert told["licence"]
    assert set(told["options"]) == set(OPTION_NAMES)
    assert all(told["options"].values())


def test_an_error_of_ours_is_a_500_for_that_request_alone(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    read_request = serving.read_request

    def fail_on_forms(row: Any, headers: Any, *, explain: bool) -> Any:
        if "image" in row:
            raise ZeroDivisionError("a mistake of ours")
        return read_request(row, headers, explain=explain)

    monkeypatch.setattr(serving, "read_request", fail_on_forms)
    replies = ask(service, raw(photo()), form(photo()), raw(photo()))
    assert [reply.status for reply in replies] == [200, 500, 200]
    assert replies[1].body == encode_error(None).body
    assert "a mistake of ours" in caplog.text


def test_a_field_that_is_called_like_a_header_is_no_header(service: Service) -> None:
    (reply,) = ask(service, form(photo(), describe="True"))
    assert (reply.status, reply.error["code"]) == (400, "option_unknown")


def test_the_photo_decides_the_size_of_the_mask(service: Service) -> None:
    sizes = [(61, 200), (300, 47)]
    replies = ask(service, *(raw(photo(*size)) for size in sizes))
    assert [np.array(Image.open(io.BytesIO(reply.body))).shape for reply in replies] == [(200, 61), (47, 300)]


def enveloped(image: bytes | None, sent_s: float, **options: Any) -> Request:
    """As the front sends it."""
    body = pack(Head(options, request_id="an-id", sent_s=sent_s), image)
    return request({"body": (bytearray(body), MEDIA_TYPE)}, **{"Content-Type": MEDIA_TYPE})


def test_the_front_is_told_what_was_measured_and_nobody_else(service: Service) -> None:
    sent_s = time.monotonic() - 2.0
    wrong, direct, good, late = ask(
        service,
        enveloped(photo(), sent_s, classes="catt"),
        raw(photo()),
        enveloped(photo(), sent_s, classes="cat", refine="crf"),
        enveloped(photo(), time.monotonic() + 60),  # by another machine's clock
    )
    assert HEADER not in direct.headers
    told = [Telemetry.from_header(reply.headers[HEADER]) for reply in (wrong, good, late)]
    assert [each.batch_size for each in told] == [4, None, None], "all of the batch, told once"
    assert [each.refine for each in told][:2] == ["", "crf"]
    assert set(told[0].stages_s) == {"queue", "decode", "total"}
    assert set(told[1].stages_s) == {"queue", "decode", "forward", "maps", "refine", "encode", "total"}
    assert told[1].stages_s["queue"] >= 2
    assert told[2].stages_s["queue"] == 0
    assert len({each.pid for each in told}) == 1
    assert (wrong.status, good.status) == (400, 200)
