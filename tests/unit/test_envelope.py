"""One request between the front and a worker."""

from __future__ import annotations

import json
from typing import Any

import pytest

from weakseg.envelope import MEDIA_TYPE, Head, is_envelope, pack, unpack
from weakseg.errors import MalformedBodyError
from weakseg.serving import _open_envelope

PICTURE = bytes(range(256)) * 20


@pytest.mark.parametrize("image", [PICTURE, b"", None])
def test_what_is_packed_is_unpacked(image: bytes | None) -> None:
    options: dict[str, Any] = {"classes": ["dog", "\ud800\u00e4"], "box": [1, 2, 3, 4], "threshold": 0.5, "tile": None}
    head = Head(options, "application/json", True, "job-7", 12.5)
    for body in (pack(head, image), bytearray(pack(head, image)), memoryview(pack(head, image))):
        assert unpack(body) == (head, image)


def test_an_envelope_that_torchserve_brings_is_a_request() -> None:
    row = {"body": bytearray(pack(Head({"classes": "dog"}, None, True, "job-7", 12.5), PICTURE))}
    request = _open_envelope(row)
    assert (request.image, request.options, request.explain) == (PICTURE, {"classes": "dog"}, True)
    assert (request.request_id, request.sent_s) == ("job-7", 12.5)


def test_headers_announce_it() -> None:
    assert is_envelope({"content-TYPE": MEDIA_TYPE, "Accept": "*/*"})
    assert not is_envelope({"Content-Type": "image/png"})
    assert not is_envelope({"X-Content-Type": MEDIA_TYPE})


WHOLE = pack(Head(), PICTURE)


def envelope(**head: Any) -> bytes:
    text = json.dumps({"image": True, **head}).encode()
    return b"weakseg1" + len(text).to_bytes(4, "big") + text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        PICTURE,
        WHOLE[:5],
        WHOLE[:10],
        WHOLE[:40],
        b"weakseg1\xff\xff\xff\xff{}",
        b"weakseg1\x00\x00\x00\x02[]",
        b"weakseg1\x00\x00\x00\x02{}",
        envelope(speed=3),
        envelope(sent_s="soon"),
        envelope(sent_s=None),
        envelope(request_id=7),
        envelope(options=["dog"]),
        envelope(accept=1),
        b"weakseg1\x00\x01\x00\x00" + b"[" * 65_536,
    ],
)
def test_what_is_none_is_named(body: bytes) -> None:
    with pytest.raises(MalformedBodyError) as caught:
        unpack(body)
    assert caught.value.field == "body"
