"""What TorchServe says when no worker answers, and what callers then hear."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.fake_torchserve import (
    NO_WORKER,
    FakeAnswer,
    FakeTorchServe,
    Seen,
    fault,
    worker_died,
    worker_error,
)
from tests.helpers.front import Front, running_front
from tests.helpers.http import post, send

PATH = "/predictions/weakseg"


def in_turn(*answers: FakeAnswer) -> Callable[[Seen], FakeAnswer]:
    """A worker that gives these answers, one after the other."""
    waiting = iter(answers)
    return lambda seen: next(waiting)


def metric(front: Front, name: str) -> float:
    text = send("GET", f"{front.metrics_url}/metrics").body.decode()
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


@pytest.mark.parametrize("lost", [worker_died(500), worker_died(413), worker_died(507), FakeAnswer(hang_up=True)])
def test_what_is_lost_with_its_worker_is_sent_again(front: Front, torchserve: FakeTorchServe, lost: FakeAnswer) -> None:
    torchserve.worker = in_turn(lost, FakeAnswer())
    assert post(front.url + PATH, b"picture").status == 200
    assert [seen.image for seen in torchserve.seen] == [b"picture"] * 2
    assert metric(front, "weakseg_retries_total") == 1
    assert front.lines(1)[0]["attempts"] == 2


@pytest.mark.parametrize("status", [500, 413, 507])
def test_what_is_lost_twice_is_the_callers_to_send_again(front: Front, torchserve: FakeTorchServe, status: int) -> None:
    torchserve.worker = in_turn(worker_died(status), worker_died(status))
    reply = post(front.url + PATH, b"picture")
    assert (reply.status, reply.json["error"]["code"], reply.headers["retry-after"]) == (503, "worker_died", "2")
    assert metric(front, 'weakseg_rejections_total{model="weakseg",reason="worker_died"}') == 1
    assert front.lines(1)[0]["error"] == "worker_died"


def test_no_retries_where_none_are_wanted(torchserve: FakeTorchServe, tmp_path: Path) -> None:
    torchserve.worker = in_turn(worker_died())
    with running_front(torchserve, tmp_path, retries=0) as front:
        assert post(front.url + PATH, b"picture").json["error"]["code"] == "worker_died"
    assert len(torchserve.seen) == 1


OWN = {
    "a full queue": (fault(503, "ServiceUnavailableException", NO_WORKER.format(model="weakseg")), 503, "queue_full"),
    "memory": (fault(507, "InternalServerException", "Out of resources"), 503, "out_of_memory"),
    "a failed batch": (fault(503, "InternalServerException", "Prediction failed"), 500, "internal"),
    "an error of no kind": (fault(500, "Whatever", "?"), 500, "internal"),
    "a page of HTML": (FakeAnswer(502, b"<html>", "text/html"), 500, "internal"),
    "a body that TorchServe does not take": (FakeAnswer(413, b""), 413, "body_too_large"),
    "a model that is gone": (fault(404, "ModelNotFoundException", "Model not found: weakseg"), 404, "model_unknown"),
    "a version that is gone": (fault(404, "ModelVersionNotFoundException", "no."), 404, "version_unknown"),
}


@pytest.mark.parametrize("case", OWN)
def test_what_torchserve_says_itself(front: Front, torchserve: FakeTorchServe, case: str) -> None:
    said, status, code = OWN[case]
    torchserve.worker = lambda seen: said
    reply = post(front.url + PATH, b"picture")
    assert (reply.status, reply.content_type, reply.json["error"]["code"]) == (status, "application/json", code)
    assert set(reply.json["error"]) == {"code", "field", "message", "remedy"}
    assert ("retry-after" in reply.headers) == (status == 503)
    assert len(torchserve.seen) == 1
    assert front.lines(1)[0]["error"] == code


def test_a_model_without_workers(front: Front, torchserve: FakeTorchServe) -> None:
    torchserve.add_model("idle", workers=0)
    reply = post(f"{front.url}/predictions/idle", b"picture")
    assert (reply.status, reply.json["error"]["code"], reply.headers["retry-after"]) == (503, "no_worker", "5")


def test_an_answer_that_takes_too_long(torchserve: FakeTorchServe, tmp_path: Path) -> None:
    torchserve.worker = lambda seen: FakeAnswer(delay_s=20)
    with running_front(torchserve, tmp_path, answer_timeout_s=0.5) as front:
        reply = post(front.url + PATH, b"picture")
    assert (reply.status, reply.json["error"]["code"], reply.headers["retry-after"]) == (503, "worker_timeout", "5")
    assert len(torchserve.seen) == 1  # it might hang again: not sent twice


def test_a_worker_that_torchserve_ended_as_it_took_too_long_is_no_second_try(
    front: Front, torchserve: FakeTorchServe
) -> None:
    torchserve.models["weakseg"]["2.0"] = {
        **torchserve.models["weakseg"]["1.0"],
        "modelVersion": "2.0",
        "responseTimeout": 1,
    }
    died = worker_died()
    died.delay_s = 1.1
    torchserve.worker = lambda seen: died
    assert post(f"{front.url}{PATH}/2.0", b"picture").json["error"]["code"] == "worker_timeout"
    assert len(torchserve.seen) == 1


def test_a_workers_own_error_passes_as_it_is(front: Front, torchserve: FakeTorchServe) -> None:
    torchserve.worker = lambda seen: worker_error(415, "image_unreadable")
    reply = post(front.url + PATH, b"picture")
    assert (reply.status, reply.json["error"]["code"]) == (415, "image_unreadable")
    assert metric(front, "weakseg_rejections_total") == 0
    assert front.lines(1)[0]["error"] == "image_unreadable"


def test_torchserve_gone(front: Front, torchserve: FakeTorchServe) -> None:
    assert post(front.url + PATH, b"picture").status == 200
    torchserve.stop()
    reply = post(front.url + PATH, b"picture")
    assert (reply.status, reply.json["error"]["code"], reply.headers["retry-after"]) == (503, "unavailable", "2")


def test_torchserve_never_there(torchserve: FakeTorchServe, tmp_path: Path) -> None:
    torchserve.stop()
    with running_front(torchserve, tmp_path) as front:
        assert post(front.url + PATH, b"picture").json["error"]["code"] == "unavailable"
        assert send("GET", f"{front.url}/health").status == 503
        assert send("GET", f"{front.url}/models").json["error"]["code"] == "unavailable"


@pytest.mark.parametrize("model", ["nothing", "..%2f..%2fetc", "%00", "a" * 5000, "weakseg;x", "%C3%A4"])
def test_names_that_are_no_models_never_reach_torchserve(front: Front, torchserve: FakeTorchServe, model: str) -> None:
    reply = post(f"{front.url}/predictions/{model}", b"picture")
    assert reply.status == 404
    assert reply.json["error"]["code"] in ("model_unknown", "version_unknown", "not_found")
    assert torchserve.seen == []
    assert metric(front, "weakseg_requests_total") == 0  # no metric bears a name that callers made up


def test_a_version_that_is_none(front: Front) -> None:
    reply = post(f"{front.url}{PATH}/9.9", b"picture")
    assert (reply.status, reply.json["error"]["code"]) == (404, "version_unknown")
    assert "1.0" in reply.json["error"]["remedy"]


def test_paths_and_methods_that_are_none(front: Front) -> None:
    for path in ("/", "/predictions", "/predictions/", "/models/", "/docs", "/nothing/at/all"):
        reply = send("GET", front.url + path)
        assert (reply.status, reply.json["error"]["code"]) == (404, "not_found"), path
        assert reply.headers["x-request-id"]
    reply = send("DELETE", front.url + PATH)
    assert (reply.status, reply.json["error"]["code"]) == (405, "method_not_allowed")
    assert set(reply.headers["allow"].split(", ")) == {"POST", "PUT"}


def test_a_bug_of_ours_is_a_500_with_an_id(
    front: Front, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def break_down(*_: object, **__: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(front.app.state.service, "ask", break_down)
    reply = post(front.url + PATH, b"picture", X_Request_Id="job-7")
    assert (reply.status, reply.json["error"]["code"]) == (500, "internal")
    assert reply.headers["x-request-id"] == "job-7"
    assert b"secret" not in reply.body
    assert "request job-7 failed" in caplog.text


def test_what_is_for_the_front_alone_stays_there(front: Front) -> None:
    reply = post(front.url + PATH, b"picture")
    assert reply.headers["x-weakseg-model"] == "weakseg"
    assert "x-weakseg-telemetry" not in reply.headers
    (line,) = front.lines(1)
    assert (line["stages_ms"]["total"], line["batch_size"], line["refine"], line["worker"]) == (30.0, 1, "crf", 4711)


def test_measurements_of_another_version_are_no_error(front: Front, torchserve: FakeTorchServe) -> None:
    torchserve.worker = lambda seen: FakeAnswer(headers={"X-Weakseg-Telemetry": '{"speed": 3}'})
    assert post(front.url + PATH, b"picture").status == 200


def test_the_worker_learns_the_request_id_and_when_it_was_sent(front: Front, torchserve: FakeTorchServe) -> None:
    reply = post(front.url + PATH, b"picture", X_Request_Id="job-7", Accept="application/json")
    assert reply.headers["x-request-id"] == "job-7"
    head = torchserve.seen[0].head
    assert (head.request_id, head.accept, head.explain) == ("job-7", "application/json", False)
    assert head.sent_s > 0
    post(f"{front.url}/explanations/weakseg", b"picture")
    assert torchserve.seen[1].head.explain
    assert json.dumps(front.lines(2)[0]["request_id"]) == '"job-7"'


def test_an_answer_with_a_long_header_is_no_lost_connection(front: Front, torchserve: FakeTorchServe) -> None:
    segments = json.dumps([{"label": "d" * 50, "value": value} for value in range(400)])
    torchserve.worker = lambda seen: FakeAnswer(headers={"X-Weakseg-Segments": segments})
    reply = post(front.url + PATH, b"picture")
    assert (reply.status, reply.headers["x-weakseg-segments"]) == (200, segments)
    assert len(torchserve.seen) == 1
