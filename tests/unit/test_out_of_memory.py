"""Batches for which memory runs out: what callers hear, and what their neighbours get."""

from __future__ import annotations

import io
import json
import logging

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.helpers.fakes import FakeRuntime, make_card
from weakseg.pipeline import Pipeline
from weakseg.types import GraphOutput, Query, RawRequest

CARD = make_card(photo_task={"refine": "none", "threshold": 0.5})
SCORES = [0.20, 0.30, 0.10, 0.05, 0.05, 0.30, 0.50, 0.10]


class Greedy(FakeRuntime):
    """Cannot run more than ``most`` photos at once, nor any that is all red."""

    most = 2

    def run(self, images: NDArray[np.uint8], query: Query) -> GraphOutput:
        if len(images) > self.most or (images[..., 0] == 255).all(axis=(1, 2)).any():
            self.calls.append((images.shape, query))
            raise MemoryError
        return super().run(images, query)


def photo(colour: tuple[int, int, int]) -> bytes:
    picture = io.BytesIO()
    Image.new("RGB", (60, 40), colour).save(picture, "PNG")
    return picture.getvalue()


def test_a_batch_that_does_not_fit_is_run_photo_by_photo() -> None:
    runtime = Greedy(CARD, SCORES)
    answers = Pipeline(CARD, runtime).answer([RawRequest(photo((0, 9, 0)))] * 3)
    assert [answer.status for answer in answers] == [200] * 3
    assert [shape[0] for shape, _ in runtime.calls] == [3, 1, 1, 1]


def test_who_runs_out_of_memory_is_told_so_and_its_neighbours_are_answered(caplog: pytest.LogCaptureFixture) -> None:
    requests = [RawRequest(photo(colour), request_id=name) for name, colour in (("a", (9, 0, 0)), ("b", (255, 0, 0)))]
    with caplog.at_level(logging.ERROR):
        fits, does_not = Pipeline(CARD, Greedy(CARD, SCORES)).answer(requests)
    assert fits.status == 200
    assert (does_not.status, does_not.headers["Retry-After"]) == (503, "2")
    assert json.loads(does_not.body)["error"]["code"] == "out_of_memory"
    assert "memory ran out for request b" in caplog.text


def test_a_stage_that_runs_out_of_memory(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def run_out(*_: object, **__: object) -> None:
        raise MemoryError

    pipeline = Pipeline(CARD, FakeRuntime(CARD, SCORES))
    monkeypatch.setattr(pipeline._finisher, "complete", run_out)
    (answer,) = pipeline.answer([RawRequest(photo((9, 0, 0)), request_id="job-7")])
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (503, "out_of_memory")
    assert "memory ran out for request job-7" in caplog.text
