"""Ids, log lines and tokens, over HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import re
from pathlib import Path

import pytest

from front.app import create_app
from front.logs import Log, Record
from tests.helpers.fake_torchserve import FakeTorchServe
from tests.helpers.front import Front, running_front
from tests.helpers.http import Reply, post, send
from weakseg.telemetry import Telemetry

PATH = "/predictions/weakseg"


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_every_answer_bears_an_id(front: Front) -> None:
    replies = [
        post(front.url + PATH, b"picture"),
        send("GET", f"{front.url}/ping"),
        send("GET", f"{front.url}/nothing"),
        send("DELETE", front.url + PATH),
        post(f"{front.url}/predictions/none", b"picture"),
        post(front.url + PATH, b"{", Content_Type="application/json"),
    ]
    ids = [reply.headers["x-request-id"] for reply in replies]
    assert [reply.status for reply in replies] == [200, 200, 404, 405, 404, 400]
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in ids)
    assert len(set(ids)) == len(ids)
    logged = [line["request_id"] for line in front.lines(5)]
    assert logged == [ids[0], *ids[2:]]  # probes leave no line


def test_the_callers_id_comes_back(front: Front) -> None:
    reply = post(front.url + PATH, b"picture", X_Request_Id="job-7/photo:12")
    assert reply.headers["x-request-id"] == "job-7/photo:12"
    assert post(front.url + PATH, b"picture", X_Request_Id="two words").headers["x-request-id"] != "two words"


def test_a_request_is_one_line(front: Front) -> None:
    post(f"{front.url}{PATH}?refine=crf", b"picture", X_Weakseg_Format="json")
    (line,) = front.lines(1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line.pop("time"))
    assert line.pop("duration_ms") > 0
    assert re.fullmatch("[0-9a-f]{32}", line.pop("request_id"))
    assert line == {
        "level": "info",
        "client": "127.0.0.1",
        "method": "POST",
        "path": PATH,
        "status": 200,
        "bytes_in": 7,
        "bytes_out": 6,
        "model": "weakseg",
        "version": "1.0",
        "options": {"format": "json", "refine": "crf"},
        "maps": "fusion",
        "refine": "crf",
        "batch_size": 1,
        "worker": 4711,
        "stages_ms": {"queue": 1.0, "forward": 20.0, "total": 30.0},
    }


def test_a_line_is_short_whatever_callers_send() -> None:
    record = Record("id", "::1", "POST", "/" + "p" * 9000, status=400, model="m" * 9000, version="v" * 9000)
    record.options = {f"{index}" * 3000: ["x" * 9000] * 9000 for index in range(100)}
    record.telemetry = Telemetry()
    assert len(record.as_line()) < 20_000


def test_a_line_is_one_line_whatever_callers_send() -> None:
    record = Record("id", "::1", "POST", "/a\nb", options={"a\r\n": "\ud800\u2028\x00"})
    line = record.as_line()
    assert line.count(b"\n") == 1
    assert json.loads(line)["path"] == "/a\nb"


def test_a_full_disk_costs_lines_and_no_requests(front: Front, tmp_path: Path) -> None:
    lines = next(each for each in front.app.user_middleware).kwargs["lines"]
    assert isinstance(lines, Log)
    with open("/dev/full", "wb") as full:  # noqa: PTH123  # every write to it fails with ENOSPC
        there, lines._descriptor = lines._descriptor, full.fileno()
        assert [post(front.url + PATH, b"picture").status for _ in range(3)] == [200] * 3
        while lines._lost < 3:  # lines are written after answers
            front.thread.run(asyncio.sleep(0.02))
        lines._descriptor = there
    assert post(front.url + PATH, b"picture").status == 200
    note, line = front.lines(2)
    assert (note["level"], note["lost"], line["status"]) == ("error", 3, 200)


def test_a_log_that_nobody_reads_costs_no_requests() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    Log(writing).write(Record("id", "::1", "GET", "/"))
    os.close(writing)


KEYS = {"management": "man-key", "inference": "inf-key", "API": "api-key"}


def write_keys(path: Path, ends: str = "2999-01-01T00:00:00.5Z") -> None:
    path.write_text(json.dumps({name: {"key": key, "expiration time": ends} for name, key in KEYS.items()}))


def error_of(reply: Reply) -> tuple[int, str]:
    return reply.status, reply.json["error"]["code"]


def test_tokens(tmp_path: Path) -> None:
    key_file = tmp_path / "key_file.json"
    write_keys(key_file)
    with FakeTorchServe(KEYS) as torchserve:
        torchserve.add_model("weakseg")
        with running_front(torchserve, tmp_path, key_file=key_file) as front:
            url = front.url + PATH
            assert post(url, b"picture", **bearer("inf-key")).status == 200
            missing = post(url, bytes(1000))
            assert error_of(missing) == (401, "token_missing")
            assert missing.headers["www-authenticate"] == "Bearer"
            assert error_of(post(url, b"picture", **bearer("guess"))) == (401, "token_invalid")
            assert error_of(post(url, b"picture", **bearer("man-key"))) == (403, "token_wrong_kind")
            assert error_of(send("GET", f"{front.url}/models")) == (401, "token_missing")
            assert error_of(send("GET", f"{front.url}/nothing")) == (401, "token_missing")
            assert send("GET", f"{front.url}/models", headers=bearer("inf-key")).status == 200
            assert [send("GET", front.url + path).status for path in ("/ping", "/health", "/openapi.json")] == [200] * 3
            assert send("GET", f"{front.metrics_url}/metrics").status == 200
            write_keys(key_file, "2020-01-01T00:00:00Z")
            assert error_of(post(url, b"picture", **bearer("inf-key"))) == (401, "token_expired")
            lines = front.lines(9)
            assert [line.get("error") for line in lines[:4]] == [
                None,
                "token_missing",
                "token_invalid",
                "token_wrong_kind",
            ]
            assert not any(secret in json.dumps(lines) for secret in (*KEYS.values(), "guess"))
    assert len(torchserve.seen) == 1
    assert torchserve.seen[0].headers["Authorization"] == "Bearer inf-key"


def test_what_it_is_made_of_needs_no_network() -> None:
    """No page of ours loads scripts from elsewhere."""
    from front.settings import Settings

    app = create_app(Settings())
    assert app.docs_url is None
    assert app.redoc_url is None


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_there_is_no_page_of_documentation(front: Front, path: str) -> None:
    assert send("GET", front.url + path).status == 404
