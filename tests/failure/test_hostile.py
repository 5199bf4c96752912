"""Callers who want more than masks: refused, told so, and logged."""

from __future__ import annotations

import base64
import json
import re
import socket
import threading
import urllib.parse
from collections.abc import Iterator

import pytest

from tests.failure.corpus.entry import MODEL, PATH, form
from tests.failure.numbered import make_photo
from tests.failure.plant import Plant
from tests.failure.wire import Answer, exchange, http_request, read_answer
from tests.helpers.http import send

PHOTO = make_photo(1)
PNG = {"Content-Type": "image/png"}
ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
OVERSIZE = 70 * 2**20


class Canary:
    """A server that nobody should ever call."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.calls = 0
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/evil"

    def _listen(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection:
                if connection.recv(4) == b"stop":
                    return
                self.calls += 1

    def stop(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(b"stop")
        self._thread.join()
        self._socket.close()


@pytest.fixture
def canary() -> Iterator[Canary]:
    listening = Canary()
    yield listening
    listening.stop()


def ask(plant: Plant, request: bytes, *, ends: bool = False) -> Answer:
    answer = exchange(plant.port, request, ends=ends)
    assert answer is not None, "closed without an answer"
    return answer


def error_code(answer: Answer) -> str:
    return str(json.loads(answer.body)["error"]["code"])


MODEL_URLS = (
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "/etc/passwd",
    "file:///etc/passwd",
    "FILE:///etc/passwd",
    "https://example.org/evil.mar",
    "ftp://127.0.0.1/evil.mar",
    "s3://bucket/evil.mar",
    "s3://",
    "jar:file:///etc/passwd!/x",
    "numbered.mar/../../../etc/passwd",
    "numbered.mar%00.txt",
    "\\\\host\\share\\evil.mar",
    "",
)


@pytest.mark.parametrize("url", MODEL_URLS)
def test_models_come_from_the_store_alone(plant: Plant, url: str) -> None:
    reply = plant.manage("POST", f"/models?url={urllib.parse.quote(url, safe='%')}&model_name=evil")
    assert 400 <= reply.status < 500, reply.body
    assert plant.manage("GET", "/models/evil").status == 404


def test_a_models_url_is_never_called(plant: Plant, canary: Canary) -> None:
    for url in (canary.url, f"{canary.url}.mar", canary.url.replace("http", "HTTP"), f"http://user@{canary.url[7:]}"):
        reply = plant.manage("POST", f"/models?url={urllib.parse.quote(url)}&model_name=evil")
        assert 400 <= reply.status < 500, reply.body
    assert canary.calls == 0


def test_a_pictures_url_is_never_called(plant: Plant, canary: Canary) -> None:
    json_type = {"Content-Type": "application/json"}
    url = canary.url.encode()
    requests = {
        "JSON image": http_request("POST", PATH, json_type, json.dumps({"image": canary.url}).encode()),
        "JSON url": http_request("POST", PATH, json_type, json.dumps({"url": canary.url}).encode()),
        "form": http_request("POST", PATH, {"Content-Type": "multipart/form-data; boundary=B"}, form({"image": url})),
        "body": http_request("POST", PATH, {"Content-Type": "text/uri-list"}, url),
        "query": http_request("POST", f"{PATH}?image={canary.url}&url={canary.url}", PNG),
        "SVG": http_request("POST", PATH, PNG, b"<svg><image href='" + url + b"'/></svg>"),
        "absolute": http_request("POST", canary.url, PNG, PHOTO),
        "host": http_request("POST", "/nowhere", {**PNG, "Host": f"127.0.0.1:{canary.port}"}, PHOTO),
    }
    statuses = {name: ask(plant, request).status for name, request in requests.items()}
    assert all(400 <= status < 500 for status in statuses.values()), statuses
    assert canary.calls == 0


@pytest.mark.parametrize(
    "path",
    [
        "/models",
        "/models/numbered",
        "/predictions/../models",
        "/predictions/..%2fmodels",
        "/predictions/numbered/..%2f..%2fmodels",
        "/predictions/%2e%2e/models/numbered",
        "//models",
        "/workflows",
        "/token?type=inference",
        "/api-description",
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_what_callers_reach_cannot_manage(plant: Plant, method: str, path: str) -> None:
    before = plant.manage("GET", "/models").json
    answer = ask(plant, http_request(method, f"{path}?url=numbered.mar&min_worker=0", PNG))
    assert answer.status in {400, 404, 405}, answer.body
    assert plant.manage("GET", "/models").json == before
    assert len(plant.ready_workers(MODEL)) == 2


@pytest.mark.parametrize("name", ["../../../tmp/evil", "..", "a/b", "%00", "a" * 300, "<script>", "a b", "\u2603"])
def test_a_models_name_is_no_path(plant: Plant, name: str) -> None:
    """Whatever TorchServe makes of such a name: callers get a 404, or a mask of a model of that very name."""
    quoted = urllib.parse.quote(name, safe="%")
    answer = ask(plant, http_request("POST", f"/predictions/{quoted}", PNG, PHOTO))
    assert answer.status in {400, 404, 414}, answer.body


def test_a_body_that_says_it_is_too_large_is_refused_unread(plant: Plant) -> None:
    head = http_request("POST", PATH, {**PNG, "Content-Length": str(OVERSIZE), "X-Request-Id": "too-large"})
    with socket.create_connection(("127.0.0.1", plant.port), timeout=60) as connection:
        connection.sendall(head)
        answer = read_answer(connection)
    assert answer is not None
    assert (answer.status, error_code(answer)) == (413, "body_too_large")
    line = plant.log_of("too-large")
    assert (line["status"], line["error"]) == (413, "body_too_large")


def test_a_body_that_does_not_say_how_large_it_is(plant: Plant) -> None:
    """Chunks without end: refused as soon as they are too many."""
    front = plant.resident_mb()["front"]
    head = http_request("POST", PATH, {**PNG, "Transfer-Encoding": "chunked", "X-Request-Id": "endless"})
    chunk = b"100000\r\n" + bytes(2**20) + b"\r\n"
    answer = ask(plant, head + chunk * (OVERSIZE // 2**20) + b"0\r\n\r\n")
    assert (answer.status, error_code(answer)) == (413, "body_too_large")
    assert plant.log_of("endless")["error"] == "body_too_large"
    assert plant.resident_mb()["front"] - front < 200


def test_a_photo_in_tens_of_thousands_of_chunks(plant: Plant) -> None:
    head = http_request("POST", PATH, {**PNG, "Transfer-Encoding": "chunked"})
    photo = PHOTO + bytes(30_000 - len(PHOTO))
    answer = ask(plant, head + b"".join(b"1\r\n" + photo[at : at + 1] + b"\r\n" for at in range(30_000)) + b"0\r\n\r\n")
    assert answer.status == 200, answer.body


def test_a_request_within_a_request_is_none(plant: Plant) -> None:
    """Two lengths that contradict each other: nobody may take the rest for a request of its own."""
    smuggled = http_request("POST", PATH, {**PNG, "X-Request-Id": "smuggled"}, PHOTO)
    chunks = b"0\r\n\r\n" + smuggled
    heads = {"Content-Type": "image/png", "Transfer-Encoding": "chunked", "X-Request-Id": "smuggler"}
    both = http_request("POST", PATH, {**heads, "Content-Length": str(len(chunks))}, chunks)
    odd = http_request("POST", PATH, {**heads, "Transfer-Encoding": "\x0bchunked", "Content-Length": "5"}, chunks)
    for request in (both, odd):
        with socket.create_connection(("127.0.0.1", plant.port), timeout=60) as connection:
            connection.sendall(request)
            first = read_answer(connection)
            assert first is None or first.status in {400, 415}, first
            assert read_answer(connection) is None, "a second answer"
    last = http_request("POST", PATH, {**PNG, "X-Request-Id": "after-smuggling"}, PHOTO)
    assert ask(plant, last).status == 200
    plant.log_of("after-smuggling")
    assert [line for line in plant.log_lines() if line.get("request_id") == "smuggled"] == []


@pytest.mark.parametrize(
    "sent",
    [
        b"a" * 129,
        b"\xff\xfe\x80",
        b"a b",
        b"",
        b'"}\\',
        b"%0d%0aSet-Cookie: x",
        b"\x1b[31mred",
        "\u2603".encode(),
        b"a;b",
        b"<script>",
        b"a\rSet-Cookie: x",
    ],
)
def test_a_request_id_that_is_none_is_replaced(plant: Plant, sent: bytes) -> None:
    request = http_request("POST", PATH, {**PNG, "X-Request-Id": "?"}, PHOTO).replace(b"Id: ?", b"Id: " + sent)
    answer = ask(plant, request)
    assert answer.headers.get("Set-Cookie") is None
    if answer.status == 400:
        assert b"\r" in sent  # no HTTP
        return
    assert answer.status == 200, answer.body
    echoed = answer.headers["X-Request-Id"]
    assert ID.fullmatch(echoed), echoed
    assert echoed.encode() != sent
    assert plant.log_of(echoed)["status"] == 200


def test_a_line_of_the_log_cannot_be_forged(plant: Plant) -> None:
    forged = '{"level":"info","request_id":"forged"}'
    path = f"/predictions/x%0a{urllib.parse.quote(forged)}%0a"
    headers = {**PNG, "X-Request-Id": "forger", "X-Weakseg-Classes": f"red\\n{forged}"}
    assert ask(plant, http_request("POST", path, headers, PHOTO)).status in {400, 404}
    assert plant.log_of("forger")["path"].startswith("/predictions/x")
    assert [line for line in plant.log_lines() if line.get("request_id") == "forged"] == []


def test_refusals_are_logged_with_their_reason(plant: Plant) -> None:
    expected = {
        "refused-model": (http_request("POST", "/predictions/nobody", {}, PHOTO), 404, "model_unknown"),
        "refused-version": (http_request("POST", f"{PATH}/99", {}, PHOTO), 404, "version_unknown"),
        "refused-path": (http_request("POST", "/etc/passwd", {}, PHOTO), 404, "not_found"),
        "refused-method": (http_request("DELETE", PATH, {}), 405, "method_not_allowed"),
        "refused-option": (http_request("POST", f"{PATH}?threshold=NaN", PNG, PHOTO), 400, "option_invalid"),
        "refused-picture": (http_request("POST", PATH, PNG, b"%PDF-1.7"), 415, "image_unreadable"),
        "refused-base64": (
            http_request(
                "POST", PATH, {"Content-Type": "application/json"}, b'{"image": "' + base64.b64encode(b"x") + b'"}'
            ),
            415,
            "image_unreadable",
        ),
    }
    for request_id, (request, status, code) in expected.items():
        named = request.replace(b"Host: ", f"X-Request-Id: {request_id}\r\nHost: ".encode(), 1)
        answer = ask(plant, named)
        assert (answer.status, error_code(answer)) == (status, code), request_id
        assert answer.headers["X-Request-Id"] == request_id
        line = plant.log_of(request_id)
        assert (line["status"], line["error"]) == (status, code), line


def test_the_metrics_port_only_tells(plant: Plant) -> None:
    for method in ("POST", "PUT", "DELETE"):
        assert send(method, f"http://127.0.0.1:{plant.port + 2}/metrics", b"").status in {200, 404, 405}
    assert send("GET", f"http://127.0.0.1:{plant.port + 2}/../../etc/passwd").body.startswith(b"#")
