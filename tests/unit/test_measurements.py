"""What is measured of a request: stages, refinement, foreground."""

from __future__ import annotations

import itertools
import json
import os
from typing import Any

import numpy as np
import pytest

from tests.helpers.fakes import FakeRuntime, make_card
from weakseg import stopwatch
from weakseg.codec.pictures import encode_mask
from weakseg.errors import MalformedBodyError
from weakseg.pipeline import Pipeline
from weakseg.stopwatch import Stopwatch
from weakseg.telemetry import Telemetry
from weakseg.types import Answer, RawRequest

CARD = make_card(photo_task={"refine": "crf", "threshold": 0.5})
SCORES = [0.20, 0.30, 0.10, 0.05, 0.05, 0.30, 0.50, 0.10]


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline(CARD, FakeRuntime(CARD, SCORES))


def request(**options: Any) -> RawRequest:
    """VOC's red on the left third, black elsewhere."""
    labels = np.zeros((64, 96), np.uint8)
    labels[:, :32] = 1
    return RawRequest(encode_mask(labels), {"classes": "tabby", **options})


def measured(answer: Answer) -> Telemetry:
    assert answer.telemetry is not None
    return answer.telemetry


def test_stages_add_up_and_parts_of_them_are_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(100.0)  # a second passes between two looks at it
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: next(clock))
    watch = Stopwatch(90.0)
    for _ in range(2):
        with watch.stage("refine"):
            pass
    with pytest.raises(ZeroDivisionError), watch.stage("decode"):
        _ = 1 / 0
    watch.move(0.5, to="maps", out_of="refine")
    assert watch.seconds == {"refine": 1.5, "decode": 1.0, "maps": 0.5}
    assert watch.timings_ms() == {
        "decode": 1000, "forward": 0, "maps": 500, "refine": 1500, "encode": 0, "total": 16_000,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "refine", "stages"),
    [
        ({}, "crf", {"decode", "forward", "maps", "refine", "encode", "total"}),
        ({"refine": "none", "threshold": 0.3}, "none", {"decode", "forward", "maps", "refine", "encode", "total"}),
        ({"refine": "gaussian+crf"}, "gaussian+crf", {"decode", "forward", "maps", "refine", "encode", "total"}),
        ({"classes": "none", "box": "20,0,60,64"}, "grabcut", {"decode", "refine", "encode", "total"}),
    ],
)
def test_what_was_done_is_measured(pipeline: Pipeline, options: dict[str, Any], refine: str, stages: set[str]) -> None:
    (answer,) = pipeline.answer([request(**options)])
    told = measured(answer)
    assert (answer.status, told.method, told.refine, told.pid) == (200, "cam", refine, os.getpid())
    assert set(told.stages_s) == stages
    assert all(seconds >= 0 for seconds in told.stages_s.values())
    assert told.stages_s["total"] >= sum(told.stages_s[stage] for stage in stages - {"total"}) - 1e-5


def test_the_refinement_that_auto_chose_is_the_one_in_force(pipeline: Pipeline) -> None:
    (answer,) = pipeline.answer([request(budget_ms=30_000)])
    assert measured(answer).refine == json.loads(answer.headers["X-Weakseg-Options"])["refine"] != "auto"


def test_foreground_is_the_share_of_pixels_of_any_label(pipeline: Pipeline) -> None:
    third, none = pipeline.answer([request(refine="none", threshold=0.3), request(refine="none", threshold=1.0)])
    assert measured(third).foreground == pytest.approx(1 / 3, abs=0.02)
    assert measured(none).foreground == 0


def test_bad_requests_are_measured_as_far_as_they_came(pipeline: Pipeline) -> None:
    error = MalformedBodyError("no JSON.", field="body", remedy="Send JSON.")
    answers = pipeline.answer([request(classes="unicorn"), RawRequest(b"no picture"), error, request()])
    assert [answer.status for answer in answers] == [400, 415, 400, 200]
    for answer in answers[:3]:
        told = measured(answer)
        assert set(told.stages_s) == {"decode", "total"}
        assert (told.method, told.refine, told.foreground, told.pid) == ("cam", "", None, os.getpid())


def test_a_network_that_fails_leaves_its_stage_out(caplog: pytest.LogCaptureFixture) -> None:
    pipeline = Pipeline(CARD, FakeRuntime(CARD, SCORES, fail_when=lambda images: True))
    (answer,) = pipeline.answer([request()])
    assert answer.status == 500
    assert set(measured(answer).stages_s) == {"decode", "total"}


def test_telemetry_travels_in_a_header() -> None:
    told = Telemetry({"decode": 0.001, "total": 0.02}, "cam", "crf", foreground=0.25, pid=7).in_batch(0.5, 4)
    assert told.stages_s == {"queue": 0.5, "decode": 0.001, "total": 0.02}
    assert Telemetry.from_header(told.to_header()) == told
    assert told.in_batch(-0.001, None).stages_s["queue"] == 0, "clocks of two processes, rounded"


@pytest.mark.parametrize("text", ["", "[]", "{", '{"of": "another version"}', "null"])
def test_telemetry_of_another_version_is_told_apart(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Telemetry.from_header(text)
