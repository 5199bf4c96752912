"""How requests are sent and answers judged, without a service: the exam must see what a load test is for."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from front.kserve_pictures import read_photos
from front.kserve_tensors import HEADER_LENGTH, Output, read_infer_request, write_infer_response
from tests.load import kserve
from tests.load.asking import Answer, Exam, Profile, Questions, encode, name_of
from tests.load.mix import BadRequest, GoodRequest, Transport
from tests.load.photos import Photo, make_photos
from weakseg.wire import read_request

ID = "abc"
ERROR = {"error": {"code": "queue_full", "field": "", "message": "m", "remedy": "r"}}


@pytest.fixture(scope="module")
def photo() -> Photo:
    return make_photos()[0]


def good(photo: Photo, transport: Transport) -> GoodRequest:
    return GoodRequest(photo, {"format": "json", "classes": "cat,dog", "crf_engine": "fast"}, transport, "hair")


def test_every_option_arrives_by_every_transport(photo: Photo) -> None:
    """Each body as the service's own parsers read it."""
    for transport in (Transport.RAW, Transport.JSON, Transport.QUERY):
        path, body, headers, _ = encode(good(photo, transport), None)
        query = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
        raw = read_request({"body": body}, headers, query=query)
        sent = {name: value for name, value in raw.options.items() if name in good(photo, transport).options}
        assert (raw.image, sent) == (photo.encoded, dict(good(photo, transport).options)), transport
        assert urlsplit(path).path == "/predictions/hair"


def test_kserve_requests_are_what_the_protocol_says(photo: Photo) -> None:
    path, body, headers, _ = encode(good(photo, Transport.KSERVE), None)
    asked = read_infer_request(body, headers[HEADER_LENGTH])
    assert path == "/v2/models/hair/infer"
    assert read_photos(asked) == [photo.encoded]
    assert asked.parameters == dict(good(photo, Transport.KSERVE).options)
    assert asked.wants_binary("answer")


def test_kserve_answers_are_read_and_broken_ones_are_not() -> None:
    output = Output("answer", "BYTES", (1,), [b"the answer"])
    body, length = write_infer_response({"model_name": "hair"}, [output], frozenset({"answer"}))
    assert kserve.read_answer(body, length) == b"the answer"
    with pytest.raises(ValueError, match="deny"):
        kserve.read_answer(body[:-1], length)
    with pytest.raises(ValueError, match="instead of one answer"):
        kserve.read_answer(body.replace(b'"answer"', b'"banana"'), length)


def test_ids_and_tokens_go_along(photo: Photo) -> None:
    for request in (good(photo, Transport.FORM), BadRequest(b"no picture", 415, "image_unreadable")):
        _, _, headers, request_id = encode(request, "secret")
        assert headers["X-Request-Id"] == request_id
        assert headers["Authorization"] == "Bearer secret"
        assert encode(request, None)[3] != request_id


def test_another_requests_answer_is_seen(photo: Photo) -> None:
    request = BadRequest(b"", 415, "image_unreadable")
    body = json.dumps({"error": {"code": "image_unreadable", "field": "", "message": "m", "remedy": "r"}}).encode()
    assert Exam().find_fault(request, ID, Answer(415, {"X-Request-Id": ID}, body)) is None
    for headers in ({"X-Request-Id": "xyz"}, {}):
        assert "another request's answer" in (Exam().find_fault(request, ID, Answer(415, headers, body)) or "")


@pytest.mark.parametrize(
    ("status", "headers", "document", "fault"),
    [
        (503, {"Retry-After": "1"}, ERROR, None),
        (503, {}, ERROR, "Retry-After is None"),
        (503, {"Retry-After": "1"}, {"error": "busy"}, "no error body"),
        (500, {"Retry-After": "1"}, ERROR, "status 500"),
    ],
)
def test_a_refusal_says_when_to_come_again(
    photo: Photo, status: int, headers: dict[str, str], document: object, fault: str | None
) -> None:
    answer = Answer(status, {"X-Request-Id": ID, **headers}, json.dumps(document).encode())
    found = Exam(refusals=True).find_fault(good(photo, Transport.RAW), ID, answer)
    assert found is None if fault is None else fault in (found or "")
    assert Exam().find_fault(good(photo, Transport.RAW), ID, answer) is not None  # of light load it is one


def test_mixed_questions_are_of_every_kind_and_uniform_ones_of_one() -> None:
    mixed = Questions(Profile.MIXED, ["weakseg", "hair"], 1)
    mixed.labels = {"weakseg": ["cat", "dog"], "hair": ["hair"]}
    drawn = [mixed.draw() for _ in range(400)]
    asked = [request for request in drawn if isinstance(request, GoodRequest)]
    assert {request.model for request in asked} == {"weakseg", "hair"}
    assert {request.transport for request in asked} == set(Transport)
    assert 15 < len(drawn) - len(asked) < 80
    uniform = Questions(Profile.UNIFORM, ["weakseg"], 1)
    assert len({name_of(uniform.draw()) for _ in range(20)}) == 1
