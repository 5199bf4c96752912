import base64

import pytest

from weakseg.errors import MalformedBodyError
from weakseg.wire import read_request

PICTURE = b"\x89PNG not really"


def test_raw_body_with_options_in_headers() -> None:
    request = read_request(
        {"body": bytearray(PICTURE)},
        {"X-Weakseg-Grabcut-Mode": "f_pf", "x-weakseg-classes": "dog", "ACCEPT": "application/json"},
    )
    assert request.image == PICTURE
    assert request.options == {"grabcut_mode": "f_pf", "classes": "dog"}
    assert request.accept == "application/json"
    assert not request.explain


def test_form_fields_win_over_headers() -> None:
    request = read_request(
        {"image": bytearray(PICTURE), "Classes": bytearray(b"cat"), "threshold": "0.3"}, {"X-Weakseg-Classes": "dog"}
    )
    assert request.image == PICTURE
    assert request.options == {"classes": "cat", "threshold": "0.3"}


@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
def test_json_with_base64(prefix: str) -> None:
    encoded = base64.encodebytes(PICTURE).decode()  # with line breaks
    request = read_request(
        {"body": {"image": prefix + encoded, "classes": ["dog"], "box": None}}, {"content-type": "application/json"}
    )
    assert request.image == PICTURE
    assert request.options == {"classes": ["dog"], "box": None}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"body": bytearray(b'{"image": ')}, "body"),
        ({"body": [1, 2]}, "body"),
        ({"body": {"image": 5}}, "image"),
        ({"body": {"image": "not base64!"}}, "image"),
        ({"body": {"image": "abc"}}, "image"),
        ({"body": {"image": "=AAA"}}, "image"),
        ({"body": {"image": "AA==AAAA"}}, "image"),
        ({"body": {"image": "AAA\u00e4"}}, "image"),
    ],
)
def test_broken_json_is_named(fields: dict[str, object], field: str) -> None:
    with pytest.raises(MalformedBodyError) as caught:
        read_request(fields, {"Content-Type": "application/json; charset=utf-8"})
    assert caught.value.field == field


def test_a_form_field_that_is_no_text() -> None:
    with pytest.raises(MalformedBodyError) as caught:
        read_request({"image": PICTURE, "classes": bytearray(b"\xff\xfe")}, {})
    assert caught.value.field == "classes"


def test_form_fields_called_like_a_raw_body_are_form_fields() -> None:
    request = read_request({"body": "x", "classes": "dog"}, {})
    assert request.image is None
    assert request.options == {"body": "x", "classes": "dog"}
    request = read_request({"image": PICTURE, "data": "x"}, {})
    assert (request.image, request.options) == (PICTURE, {"data": "x"})


def test_no_image_is_left_to_the_pipeline() -> None:
    assert read_request({}, {}).image is None
    assert read_request({"body": {}}, {}).image is None


@pytest.mark.parametrize("body", [b'{"classes": ["dog"], "threshold": 0.5}', '{"classes": ["dog"], "threshold": 0.5}'])
def test_json_that_the_server_left_unparsed(body: bytes | str) -> None:
    request = read_request({"body": body}, {"Content-Type": "application/json"})
    assert request.options == {"classes": ["dog"], "threshold": 0.5}


@pytest.mark.parametrize("body", [b'{"classes": ', b"\xff\xfe{}", b"", b"[" * 100_000, "no"])
def test_json_that_is_none(body: bytes | str) -> None:
    with pytest.raises(MalformedBodyError, match="not valid JSON"):
        read_request({"body": body}, {"Content-Type": "application/json"})


@pytest.mark.parametrize("size", [0, 1, 2, 3, 786_431, 786_432, 786_433, 2_000_000])
def test_base64_of_any_size(size: int) -> None:
    picture = bytes(range(256)) * (size // 256) + bytes(size % 256)
    encoded = base64.b64encode(picture).decode()
    assert read_request({"body": {"image": encoded}}, {}).image == picture


def test_the_body_wins_over_the_query_string_and_that_over_headers() -> None:
    request = read_request(
        {"image": PICTURE, "format": "npz"},
        {"X-Weakseg-Format": "mask", "X-Weakseg-Refine": "none", "X-Weakseg-Pick": "best"},
        query={"Format": "json", "refine": "crf", "crf-steps": "3"},
    )
    assert request.options == {"format": "npz", "refine": "crf", "pick": "best", "crf_steps": "3"}


@pytest.mark.parametrize("values", [b"[" * 200_000, b'{"image": "", "classes": [' + b"{}," * 60_000 + b"{}]}"])
def test_more_values_than_a_request_has_are_not_parsed(values: bytes) -> None:
    with pytest.raises(MalformedBodyError, match="more than 100,000 values"):
        read_request({"body": values}, {"content-type": "application/json"})
