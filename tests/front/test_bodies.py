"""Bodies that are too large, too slow, broken, or whose sender goes away."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from front.bodies import Intake
from tests.front.test_tokens import write_keys
from tests.helpers.fake_torchserve import FakeAnswer, FakeTorchServe
from tests.helpers.front import Front, running_front
from tests.helpers.http import BOUNDARY, post, post_form, post_json, send

PICTURE = b"\xff\xd8 not really a picture"
PATH = "/predictions/weakseg"


def connect(front: Front) -> socket.socket:
    host, _, port = front.url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=120)


def head(length: int) -> bytes:
    return f"POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nContent-Length: {length}\r\n\r\n".encode()


def wait_until(front: Front, condition: Callable[[Intake], bool]) -> None:
    """Until something is true of the front's intake."""
    intake = front.app.state.intake
    for _ in range(400):
        if condition(intake):
            return
        front.thread.run(asyncio.sleep(0.02))
    raise AssertionError(f"it never came true: {intake.requests} requests, {intake.bytes} bytes")


def is_empty(intake: Intake) -> bool:
    return intake.requests == 0 and intake.bytes == 0


@pytest.fixture
def narrow(torchserve: FakeTorchServe, tmp_path: Path) -> Iterator[Front]:
    """Small limits: 10,000 bytes a body, 15,000 in all, two requests, half a second."""
    limits = {"max_body_bytes": 10_000, "max_bytes_in_flight": 15_000, "max_in_flight": 2, "body_timeout_s": 0.5}
    with running_front(torchserve, tmp_path, **limits) as running:
        yield running


def test_a_body_announced_as_too_large_is_refused_and_its_sender_sees_it(narrow: Front) -> None:
    reply = post(narrow.url + PATH, bytes(5_000_000))  # urllib sends all of it before it looks at the answer
    assert (reply.status, reply.json["error"]["code"]) == (413, "body_too_large")
    assert "10,000 bytes" in reply.json["error"]["message"]
    assert reply.headers["x-request-id"]
    (line,) = narrow.lines(1)
    assert (line["status"], line["error"], line["bytes_in"]) == (413, "body_too_large", 0)


@pytest.mark.parametrize(
    ("path", "token", "status"),
    [
        (PATH, "", 401),
        (PATH, "Bearer x", 401),
        (PATH, "Bearer man", 403),
        ("/nothing", "Bearer inf", 404),
        ("/ping", "", 405),
    ],
)
def test_who_sends_a_body_that_nobody_reads_sees_the_answer(
    torchserve: FakeTorchServe, tmp_path: Path, path: str, token: str, status: int
) -> None:
    write_keys(tmp_path / "key_file.json")
    with running_front(torchserve, tmp_path, key_file=tmp_path / "key_file.json") as front:
        for _ in range(3):
            reply = post(front.url + path, bytes(5_000_000), **({"Authorization": token} if token else {}))
            assert reply.status == status
        assert front.lines(3)[0]["bytes_in"] == 0


def test_it_is_refused_before_it_arrives(narrow: Front) -> None:
    with connect(narrow) as client:
        client.sendall(head(10_001))  # and nothing else
        assert client.recv(100).startswith(b"HTTP/1.1 413")


def test_a_stream_that_grows_too_large_is_refused(narrow: Front) -> None:
    connection = http.client.HTTPConnection(narrow.url.removeprefix("http://"), timeout=120)
    pieces = (bytes(1000) for _ in range(30))
    connection.request("POST", PATH, pieces, {"Content-Type": "image/png"}, encode_chunked=True)
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["error"]["code"]) == (413, "body_too_large")
    connection.close()
    wait_until(narrow, is_empty)


def test_a_body_of_the_limit_passes(narrow: Front, torchserve: FakeTorchServe) -> None:
    assert post(narrow.url + PATH, bytes(10_000)).status == 200
    assert torchserve.seen[0].image == bytes(10_000)


def test_a_body_that_does_not_arrive(narrow: Front, torchserve: FakeTorchServe) -> None:
    with connect(narrow) as client:
        client.sendall(head(1000) + b"a few bytes")
        answer = client.recv(2000)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"body_timeout"' in answer
    assert b"retry-after: 1" in answer
    assert torchserve.seen == []
    assert narrow.lines(1)[0]["error"] == "body_timeout"


def test_a_client_that_vanishes_while_it_sends_is_not_forwarded(front: Front, torchserve: FakeTorchServe) -> None:
    with connect(front) as client:
        client.sendall(head(1000) + b"a few bytes")
        wait_until(front, lambda intake: intake.bytes > 0)
    (line,) = front.lines(1)
    assert (line["status"], line["error"]) == (499, "client_gone")
    assert torchserve.seen == []
    wait_until(front, is_empty)


def test_a_client_that_vanishes_while_it_waits_leaves_nothing_behind(front: Front, torchserve: FakeTorchServe) -> None:
    torchserve.worker = lambda seen: FakeAnswer(delay_s=30)
    with connect(front) as client:
        client.sendall(head(len(PICTURE)) + PICTURE)
        wait_until(front, lambda intake: bool(torchserve.seen))
    (line,) = front.lines(1)
    assert (line["status"], line["error"], line["model"], line["bytes_in"]) == (499, "client_gone", "weakseg", 23)
    wait_until(front, is_empty)
    wait_until(front, lambda intake: torchserve.dropped == 1)
    text = metrics(front)
    assert 'weakseg_requests_in_flight{model="weakseg"} 0.0' in text
    assert 'weakseg_rejections_total{model="weakseg",reason="client_gone"} 1.0' in text
    torchserve.worker = lambda seen: FakeAnswer()
    assert post(front.url + PATH, PICTURE).status == 200


def metrics(front: Front) -> str:
    return send("GET", f"{front.metrics_url}/metrics").body.decode()


def test_more_requests_than_may_be_under_way(narrow: Front, torchserve: FakeTorchServe) -> None:
    torchserve.worker = lambda seen: FakeAnswer(delay_s=1)
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(post, narrow.url + PATH, PICTURE) for _ in range(2)]
        wait_until(narrow, lambda intake: intake.requests == 2)
        reply = post(narrow.url + PATH, PICTURE)
        assert (reply.status, reply.json["error"]["code"], reply.headers["retry-after"]) == (503, "busy", "1")
        assert post(narrow.url + "/nothing", b"").status == 404  # what needs no place gets one
        assert [each.result().status for each in waiting] == [200, 200]
    torchserve.worker = lambda seen: FakeAnswer()
    assert post(narrow.url + PATH, PICTURE).status == 200


def test_more_bytes_than_may_be_under_way(narrow: Front, torchserve: FakeTorchServe) -> None:
    torchserve.worker = lambda seen: FakeAnswer(delay_s=1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(post, narrow.url + PATH, bytes(9_000))
        wait_until(narrow, lambda intake: intake.bytes == 9_000)
        assert post(narrow.url + PATH, bytes(9_000)).json["error"]["code"] == "busy"
        assert waiting.result().status == 200


def part(name: str, content: bytes, disposition: str = "form-data") -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: {disposition}; name="{name}"\r\n\r\n'
    return head.encode() + content + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()
BROKEN = {
    "cut off": part("image", PICTURE)[:-5],
    "no last boundary": part("image", PICTURE),
    "empty": b"",
    "no boundary at all": PICTURE,
    "too many parts": part("classes", b"cat") * 101 + END,
    "a large field": part("classes", b"c" * 65_537) + END,
    "a part without a name": f"--{BOUNDARY}\r\nContent-Type: text/plain\r\n\r\nx\r\n".encode() + END,
    "a part that is an attachment": part("image", PICTURE, "attachment") + END,
    "a large header": part("i" * 70_000, b"x") + END,
    "options that are no text": part("image", PICTURE) + part("classes", b"\xff\xfe") + END,
}


@pytest.mark.parametrize("mistake", BROKEN)
def test_a_broken_form(front: Front, torchserve: FakeTorchServe, mistake: str) -> None:
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    reply = post(front.url + PATH, BROKEN[mistake], Content_Type=kind)
    assert (reply.status, reply.json["error"]["code"]) == (400, "body_malformed")
    assert torchserve.seen == []


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=", "Multipart/Form-Data; a=b"])
def test_a_form_without_a_boundary(front: Front, kind: str) -> None:
    reply = post(front.url + PATH, part("image", PICTURE) + END, Content_Type=kind)
    assert (reply.status, reply.json["error"]["code"]) == (400, "body_malformed")


def test_of_a_field_that_comes_twice_the_last_one_is_kept(front: Front, torchserve: FakeTorchServe) -> None:
    body = part("image", b"first") + part("classes", b"dog") + part("image", PICTURE) + part("classes", b"cat") + END
    reply = post(front.url + PATH, body, Content_Type=f"multipart/form-data; boundary={BOUNDARY}")
    assert reply.status == 200
    assert (torchserve.seen[0].image, torchserve.seen[0].head.options) == (PICTURE, {"classes": "cat"})


def test_large_bodies_arrive_whole(front: Front, torchserve: FakeTorchServe) -> None:
    picture = bytes(range(256)) * 12_000  # 3 MB, parsed in a thread
    url = front.url + PATH
    replies = [
        post(url, picture),
        post_form(url, picture, classes="dog"),
        post_json(url, {"image": base64.b64encode(picture).decode()}),
    ]
    assert [reply.status for reply in replies] == [200] * 3
    assert all(seen.image == picture for seen in torchserve.seen)


@pytest.mark.parametrize(
    "body", [b'{"image": ', b"[1]", b"[" * 100_000, b"", b'{"image": 5}', b'{"image": "%%%"}', b"\xff"]
)
def test_broken_json(front: Front, body: bytes) -> None:
    reply = post(front.url + PATH, body, Content_Type="application/json")
    assert (reply.status, reply.json["error"]["code"]) == (400, "body_malformed")


def test_no_picture_is_left_to_the_worker(front: Front, torchserve: FakeTorchServe) -> None:
    post_form(front.url + PATH, None, classes="cat")
    post_json(front.url + PATH, {"classes": ["cat"]})
    post(front.url + PATH, b"")
    assert [seen.image for seen in torchserve.seen] == [None, None, b""]


def test_an_envelope_from_outside_is_a_picture_as_any_other(front: Front, torchserve: FakeTorchServe) -> None:
    body = b"weakseg1\x00\x00\x00\x02{}"
    post(front.url + PATH, body, Content_Type="application/x-weakseg")
    assert torchserve.seen[0].image == body
