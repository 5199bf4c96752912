"""The pipeline over a fake runtime whose maps are the photo's own colour channels."""

import io
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.helpers.fakes import FakeRuntime, make_card
from weakseg.answer import MAX_ANSWER_BYTES
from weakseg.card import Candidate, Settings, Task
from weakseg.codec.decode import Limits, Photo, decode_photo
from weakseg.errors import MalformedBodyError
from weakseg.options import CrfEngineName, parse_options
from weakseg.pipeline import Pipeline
from weakseg.query import join_queries, split_queries
from weakseg.refine.costs import Work
from weakseg.refine.crf import find_engine
from weakseg.refine.densecrf.problem import CrfEngine, CrfProblem
from weakseg.types import NO_LABEL, Answer, Query, RawRequest

NAKED = {"classes": "none", "box": "1,1,9,9"}
#          tabby Siamese beagle crane crane lamp | cat  dog
SCORES = [0.20, 0.30, 0.10, 0.05, 0.05, 0.30, 0.50, 0.10]
CARD = make_card(photo_task={"refine": "none", "threshold": 0.5}, tag_threshold=0.2)


def photo(height: int = 64, width: int = 96) -> NDArray[np.uint8]:
    """Red left half, green bottom quarter."""
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[:, : width // 2, 0] = 255
    rgb[-height // 4 :, :, 1] = 255
    return rgb


def png(rgb: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG")
    return buffer.getvalue()


def pixels(answer: Answer) -> NDArray[np.uint8]:
    return np.array(Image.open(io.BytesIO(answer.body)))


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime(CARD, SCORES)


@pytest.fixture
def pipeline(runtime: FakeRuntime) -> Pipeline:
    return Pipeline(CARD, runtime, Limits(max_bytes=100_000, max_pixels=1_000_000))


def ask(pipeline: Pipeline, *requests: Any) -> list[Answer]:
    return pipeline.answer([RawRequest(png(photo()), sent) if isinstance(sent, dict) else sent for sent in requests])


def test_a_mask_by_hand(pipeline: Pipeline) -> None:
    (answer,) = ask(pipeline, {"classes": "tabby"})  # label 0: red
    assert (answer.status, answer.content_type) == (200, "image/png")
    label_map = pixels(answer)
    assert label_map.shape == (64, 96)
    assert np.array_equal(label_map, np.repeat([1, 0], 48)[None].repeat(64, 0))
    assert json.loads(answer.headers["X-Weakseg-Segments"]) == [
        {"value": 1, "label": "tabby", "score": 0.2, "area_px": 64 * 48}
    ]
    assert json.loads(answer.headers["X-Weakseg-Options"]) == {
        "classes": ["tabby"], "refine": "none", "threshold": 0.5, "format": "mask",
    }  # fmt: skip
    assert set(json.loads(answer.headers["X-Weakseg-Timings-Ms"])) == {
        "decode", "forward", "maps", "refine", "encode", "total",
    }  # fmt: skip


def test_auto_takes_the_best_label_and_those_above_the_tag_threshold(pipeline: Pipeline) -> None:
    (answer,) = ask(pipeline, {"format": "json"})
    document = json.loads(answer.body)
    assert [(s["label"], s["index"], s["value"], s["category_id"]) for s in document["segments"]] == [
        ("cat", 6, 1, 1), ("table lamp", 5, 2, 8),
    ]  # fmt: skip
    assert [entry["label"] for entry in document["scores"]] == ["cat", "table lamp", "dog", "crane", "crane"]


def test_pick_best_answers_with_the_best_scoring_of_the_classes_asked_for(pipeline: Pipeline) -> None:
    (answer,) = ask(pipeline, {"classes": "dog,tabby,Siamese cat", "pick": "best", "format": "json"})
    document = json.loads(answer.body)
    assert [(s["label"], s["value"]) for s in document["segments"]] == [("Siamese cat", 1)]
    assert document["options"]["pick"] == "best"


@pytest.mark.parametrize(
    ("sent", "tag_threshold", "labels", "among"),
    [
        ({"classes": "dog,tabby"}, 0.2, [7, 0], [7, 0]),
        ({"classes": "dog,tabby", "pick": "best"}, 0.2, [-1], [7, 0]),
        ({}, 0.2, [-1, -2, -3, -4, -5], [3, 4, 5, 6, 7]),
        ({}, 1.0, [-1], [3, 4, 5, 6, 7]),
        ({"pick": "best"}, 0.2, [-1], [3, 4, 5, 6, 7]),
    ],
)
def test_no_map_is_made_that_is_not_answered(
    sent: dict[str, str], tag_threshold: float, labels: list[int], among: list[int]
) -> None:
    card = CARD.model_copy(update={"tag_threshold": tag_threshold})
    query = Pipeline(card, FakeRuntime(card, SCORES)).plan(photo(), parse_options(sent)).query
    assert query is not None
    assert (query.labels.tolist(), query.among.tolist(), query.rivals.tolist()) == ([labels], [among], [[]])


def test_subtracted_classes_are_rivals_by_rank() -> None:
    card = CARD.model_copy(update={"method": "dcsm", "subtract_classes": 2})
    pipeline = Pipeline(card, FakeRuntime(card, SCORES))
    queries = [
        pipeline.plan(photo(), parse_options({"classes": "cat", **sent})).query
        for sent in ({}, {"subtract_classes": 0}, {"subtract_classes": 3})
    ]
    assert [query.rivals.tolist() for query in queries if query] == [[[-1, -2]], [[]], [[-1, -2, -3]]]


def test_auto_asks_for_no_label_that_would_be_subtracted_and_then_dropped() -> None:
    card = CARD.model_copy(update={"method": "dcsm", "subtract_classes": 2})
    pipeline = Pipeline(card, FakeRuntime(card, SCORES))
    queries = [pipeline.plan(photo(), parse_options(sent)).query for sent in ({}, {"subtract_classes": 0})]
    assert [query.labels.tolist() for query in queries if query] == [[[-1]], [[-1, -2, -3, -4, -5]]]


def of_width(labels: int, rivals: int = 0) -> Query:
    return Query(np.zeros((1, labels), np.int64), np.zeros((1, 1), np.int64), np.full((1, rivals), -1))


@pytest.mark.parametrize(
    ("queries", "most", "parts"),
    [
        ([of_width(1)] * 8, 8, [(0, 8)]),
        ([of_width(1)] * 8, 3, [(0, 3), (3, 6), (6, 8)]),
        ([of_width(1), of_width(2, 2), of_width(1), of_width(1)], 8, [(0, 2), (2, 4)]),  # 3 x 4 would be too many
        ([of_width(9), of_width(1)], 8, [(0, 1), (1, 2)]),
        ([of_width(9)] * 3, None, [(0, 3)]),
    ],
)
def test_batches_are_split_where_they_ask_for_many_maps(
    queries: list[Query], most: int | None, parts: list[tuple[int, int]]
) -> None:
    assert split_queries(queries, most) == [slice(*part) for part in parts]


def test_split_batches_are_answered_in_order() -> None:
    card = CARD.model_copy(update={"method": "saliency"})
    runtime = FakeRuntime(card, SCORES)
    requests: list[dict[str, str]] = [{"classes": "tabby"}, *[{"classes": "0,1,2,3,4,5,6,7"}] * 6, {"classes": "dog"}]
    answers = ask(Pipeline(card, runtime), *requests)
    asked = [(shape[0], query.labels.shape[1]) for shape, query in runtime.calls]
    assert asked == [(2, 1), (3, 8), (3, 8)], "nobody pays for a neighbour's labels"
    assert [answer.status for answer in answers] == [200] * 8
    labels = [[part["label"] for part in json.loads(answer.headers["X-Weakseg-Segments"])] for answer in answers]
    assert (labels[0], len(labels[3]), labels[7]) == (["tabby"], 8, ["dog"])


def test_the_query_of_a_batch_is_filled_up() -> None:
    first = Query(np.array([[5, -1]]), np.array([[1]]), np.array([[-1, -2]]))
    second = Query(np.array([[3]]), np.array([[1, 2, 4]]), np.zeros((1, 0), np.int64))
    joined = join_queries([first, second])
    assert joined.labels.tolist() == [[5, -1], [3, 3]]
    assert joined.among.tolist() == [[1, NO_LABEL, NO_LABEL], [1, 2, 4]]
    assert joined.rivals.tolist() == [[-1, -2], [NO_LABEL, NO_LABEL]]


def test_a_batch_of_all_kinds_equals_single_requests(pipeline: Pipeline, runtime: FakeRuntime) -> None:
    requests: list[Any] = [
        {"classes": "tabby"},
        RawRequest(png(photo(40, 30)), {"classes": "cat,dog,table lamp"}),
        {"classes": "none", "box": "8,8,90,60"},
        RawRequest(b"not a picture"),
        {"classes": "beagle", "box": "4,4,60,50", "format": "cutout"},
        MalformedBodyError("broken", field="body", remedy="mend it"),
        RawRequest(png(photo(33, 47)), {"format": "overlay"}),
        RawRequest(None),
        {"classes": "dog,cat", "pick": "best"},
        {"classes": "5", "refine": "grabcut", "format": "heatmap"},
    ]
    together = ask(pipeline, *requests)
    ((shape, query),) = runtime.calls  # one forward pass for all
    assert (shape, query.labels.shape) == ((6, 32, 48, 3), (6, 5))
    alone = [ask(pipeline, request)[0] for request in requests]
    assert [answer.body for answer in together] == [answer.body for answer in alone]
    assert [answer.status for answer in together] == [200, 200, 200, 415, 200, 400, 200, 400, 200, 200]


@pytest.mark.parametrize(
    ("request_", "status", "code", "field"),
    [
        (RawRequest(None), 400, "image_missing", "image"),
        (RawRequest(b""), 400, "image_missing", "image"),
        (RawRequest(b"GIF89a" + b"0" * 50), 415, "image_unreadable", "image"),
        (RawRequest(png(photo())[:-60]), 400, "image_truncated", "image"),
        (RawRequest(b"x" * 100_001), 413, "image_too_large", "image"),
        (RawRequest(png(np.zeros((1001, 1000, 3), np.uint8))), 413, "image_too_large", "image"),
        (RawRequest(png(photo()), {"classes": "tabbi"}), 400, "class_unknown", "classes"),
        (RawRequest(png(photo()), {"box": "0,0,97,64"}), 400, "option_invalid", "box"),
        (RawRequest(png(photo()), {"box": "-1,0,9,9"}), 400, "option_invalid", "box"),
        (RawRequest(png(photo()), {"colour": "red"}), 400, "option_unknown", "colour"),
        (RawRequest(png(photo()), {"threshold": "2"}), 400, "option_invalid", "threshold"),
        (RawRequest(png(photo()), NAKED | {"format": "npz"}), 400, "option_invalid", "format"),
        (RawRequest(png(photo()), NAKED, explain=True), 400, "option_invalid", "format"),
        (RawRequest(png(photo()), {}, accept="text/html"), 406, "format_not_acceptable", "Accept"),
    ],
)  # fmt: skip
def test_bad_requests(pipeline: Pipeline, request_: RawRequest, status: int, code: str, field: str) -> None:
    (answer,) = pipeline.answer([request_])
    error = json.loads(answer.body)["error"]
    assert (answer.status, error["code"], error["field"]) == (status, code, field)
    assert error["message"]
    assert error["remedy"]


def test_naked_grabcut_does_not_wake_the_network(pipeline: Pipeline, runtime: FakeRuntime) -> None:
    rgb = np.full((60, 90, 3), 20, np.uint8)
    rgb[20:40, 30:70] = (250, 200, 10)
    (answer,) = pipeline.answer([RawRequest(png(rgb), {"classes": "none", "box": "20,10,80,50", "format": "json"})])
    document = json.loads(answer.body)
    assert runtime.calls == []
    assert document["segments"][0]["box"] == [30, 20, 70, 40]
    assert document["segments"][0]["score"] is None
    assert document["timings_ms"]["forward"] == 0


@pytest.mark.parametrize(
    ("accept", "explain", "sent", "content_type", "fmt"),
    [
        (None, False, {}, "image/png", "mask"),
        ("*/*", True, {}, "image/png", "heatmap"),
        ("image/png", True, {}, "image/png", "heatmap"),
        ("application/json", True, {}, "application/json", "json"),
        ("text/html, application/json;q=0.5, image/png;q=0.4", False, {}, "application/json", "json"),
        ("application/x-npz", False, {}, "application/x-npz", "npz"),
        ("application/json", False, {"format": "cutout"}, "image/png", "cutout"),
        ("application/json;q=x, image/png", False, {}, "image/png", "mask"),
    ],
)
def test_format_beats_accept_beats_default(
    pipeline: Pipeline, accept: str | None, explain: bool, sent: dict[str, str], content_type: str, fmt: str
) -> None:
    (answer,) = pipeline.answer([RawRequest(png(photo()), sent, accept, explain)])
    assert answer.content_type == content_type
    in_force = json.loads(answer.body)["options"] if fmt == "json" else json.loads(answer.headers["X-Weakseg-Options"])
    assert in_force["format"] == fmt


def test_npz_holds_maps_at_the_photos_size(pipeline: Pipeline) -> None:
    (answer,) = ask(pipeline, {"classes": "tabby,Siamese cat", "format": "npz"})
    with np.load(io.BytesIO(answer.body), allow_pickle=False) as arrays:
        assert arrays["maps"].shape == (2, 64, 96)
        assert arrays["maps"].dtype == np.float16
        assert arrays["labels"].tolist() == ["tabby", "Siamese cat"]
        assert np.array_equal(arrays["label_map"], pixels(ask(pipeline, {"classes": "tabby,Siamese cat"})[0]))


def test_a_failing_network_is_a_500_for_its_batch_and_the_pipeline_lives(caplog: pytest.LogCaptureFixture) -> None:
    runtime = FakeRuntime(CARD, SCORES, fail_when=lambda images: len(images) > 1)
    pipeline = Pipeline(CARD, runtime)
    with caplog.at_level(logging.ERROR):
        answers = ask(pipeline, {}, {"classes": "none", "box": "8,8,90,60"}, {})
    assert [answer.status for answer in answers] == [500, 200, 500]
    assert "made to fail" in caplog.text
    assert ask(pipeline, {})[0].status == 200


def test_memory_that_runs_out_is_a_503_and_the_pipeline_lives(caplog: pytest.LogCaptureFixture) -> None:
    left = 3  # both at once, then each alone

    def run_out(images: np.ndarray) -> bool:
        nonlocal left
        left -= 1
        if left >= 0:
            raise MemoryError("so many pixels")
        return False

    pipeline = Pipeline(CARD, FakeRuntime(CARD, SCORES, fail_when=run_out))
    with caplog.at_level(logging.ERROR):
        first, alone, second = ask(pipeline, {}, {"classes": "none", "box": "8,8,90,60"}, {})
    assert [answer.status for answer in (first, alone, second)] == [503, 200, 503]
    assert json.loads(first.body)["error"]["code"] == "out_of_memory"
    assert first.headers["Retry-After"] == "2"
    assert "so many pixels" in caplog.text
    assert "Traceback" not in caplog.text
    assert ask(pipeline, {})[0].status == 200


def test_too_many_cuts_are_refused_before_they_hold_the_worker(pipeline: Pipeline) -> None:
    five = "tabby,Siamese cat,beagle,dog,cat"
    many, best, fine = ask(
        pipeline,
        {"classes": five, "iterations": 9},
        {"classes": five, "iterations": 9, "pick": "best"},
        {"classes": five, "iterations": 8},
    )
    assert [answer.status for answer in (many, best, fine)] == [400, 200, 200]
    assert json.loads(many.body)["error"]["field"] == "iterations"


def test_too_many_backward_passes_are_refused_before_they_hold_the_worker() -> None:
    names = tuple(f"class {index}" for index in range(40))
    card = CARD.model_copy(update={"method": "dcsm", "subtract_classes": 4, "classes": names, "groups": {}})
    ten = ",".join(names[:10])
    many, fine, best = ask(
        Pipeline(card, FakeRuntime(card, [0.025] * 40)),
        {"classes": ten, "subtract_classes": 16},
        {"classes": ten, "subtract_classes": 15},
        {"classes": ten, "subtract_classes": 20, "pick": "best"},
    )
    assert [answer.status for answer in (many, fine, best)] == [400, 200, 200]
    error = json.loads(many.body)["error"]
    assert (error["field"], "25 at most" in error["remedy"]) == ("subtract_classes", True)


def test_too_large_a_crf_is_refused_before_it_holds_the_worker(pipeline: Pipeline) -> None:
    five = "tabby,Siamese cat,beagle,dog,cat"
    many, best, fine = ask(
        pipeline,
        {"classes": five, "crf_steps": 41},
        {"classes": five, "crf_steps": 41, "pick": "best", "refine": "crf"},
        {"classes": five, "crf_steps": 40, "refine": "crf"},
    )
    assert [answer.status for answer in (many, best, fine)] == [400, 200, 200]
    assert json.loads(many.body)["error"]["field"] == "crf_steps"
    assert "200 at most" in json.loads(many.body)["error"]["remedy"]


@pytest.mark.parametrize(("tag_threshold", "status"), [(0.2, 400), (1.0, 200)])
def test_labels_that_auto_may_answer_with_are_work_too(tag_threshold: float, status: int) -> None:
    card = CARD.model_copy(update={"tag_threshold": tag_threshold})
    for sent, field in (({"iterations": 9}, "iterations"), ({"crf_steps": 41}, "crf_steps")):
        (answer,) = ask(Pipeline(card, FakeRuntime(card, SCORES)), sent)
        assert answer.status == status
        if status == 400:
            assert json.loads(answer.body)["error"]["field"] == field


def test_an_answer_that_the_server_could_not_send_is_a_413(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    formats = ({}, {"format": "overlay"}, {"format": "json"})
    sizes = [len(answer.body) for answer in ask(pipeline, *formats)]
    monkeypatch.setattr("weakseg.answer.MAX_ANSWER_BYTES", min(sizes))
    answers = ask(pipeline, *formats)
    assert [answer.status for answer in answers] == [200 if size == min(sizes) else 413 for size in sizes]
    refused = next(answer for answer in answers if answer.status == 413)
    assert json.loads(refused.body)["error"]["code"] == "answer_too_large"


@pytest.mark.parametrize("name", ["config.properties", "config.container.properties"])
def test_the_server_can_send_every_answer(name: str) -> None:
    lines = (Path(__file__).parents[2] / name).read_text(encoding="utf-8").splitlines()
    (limit,) = (int(line.partition("=")[2]) for line in lines if line.startswith("max_response_size="))
    assert limit > MAX_ANSWER_BYTES


def test_requests_late_in_a_slow_batch_are_sent_back_instead_of_losing_the_worker(runtime: FakeRuntime) -> None:
    pipeline = Pipeline(CARD, runtime, batch_deadline_s=-1)
    (answer,) = ask(pipeline, {})
    assert answer.status == 503
    assert answer.headers["Retry-After"] == "1"
    assert runtime.calls == [], "not even the network runs"


def jpeg(rgb: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


@pytest.mark.parametrize("refine", ["none", "guided", "crf", "crf+grabcut"])
def test_a_large_jpeg_is_decoded_as_small_as_it_is_used_and_masked_at_its_own_size(
    runtime: FakeRuntime, refine: str
) -> None:
    small = Pipeline(CARD.model_copy(update={"refine_side": 48}), runtime, Limits())
    large = photo(480, 720)  # 48 x 72 are enough for this card
    requests = [
        RawRequest(encoded, {"classes": "tabby", "refine": refine, "format": chosen})
        for encoded in (jpeg(large), png(large))
        for chosen in ("mask", "cutout", "npz")
    ]
    answers = small.answer(requests)
    reduced, full = pixels(answers[0]), pixels(answers[3])
    assert reduced.shape == full.shape == (480, 720)
    assert (reduced != full).mean() < 0.01
    assert pixels(answers[1]).shape == (480, 720, 4)
    with np.load(io.BytesIO(answers[2].body)) as arrays:
        assert arrays["maps"].shape == (1, 480, 720)


def test_what_is_drawn_on_a_photo_gets_all_its_pixels(runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int | None] = []

    def spy(data: bytes, limits: Limits, *, least_px: int | None) -> Photo:
        asked.append(least_px)
        return decode_photo(data, limits, least_px=least_px)

    monkeypatch.setattr("weakseg.pipeline.decode_photo", spy)
    pipeline = Pipeline(CARD.model_copy(update={"refine_side": 40, "grabcut_side": 64}), runtime)
    sent = [
        {},
        {"format": "json"},
        {"format": "overlay"},
        {"format": "cutout"},
        {"format": "heatmap"},
        {"box": "1,1,9,9"},
    ]
    ask(pipeline, *sent)
    assert asked == [64, 64, None, None, None, None]


def of_auto(answer: Answer) -> dict[str, Any]:
    return dict(json.loads(answer.headers["X-Weakseg-Options"]))


class FixedCosts:
    """0.2 ms for none, 5 for a guided filter, 100 for GrabCut, by the label."""

    def estimate_ms(self, settings: Settings, work: Work) -> float:
        return {"none": 0.2, "guided": 5.0, "grabcut": 100.0}[settings.refine] * work.labels


RANKED = CARD.model_copy(
    update={"photo_task": Task(ranking=(Candidate(refine="grabcut"), Candidate(refine="guided")), threshold=0.5)}
)


@pytest.fixture
def ranked(runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    monkeypatch.setattr("weakseg.finisher.measure_costs", lambda card, device: FixedCosts())
    return Pipeline(RANKED, runtime)


@pytest.mark.parametrize(
    ("sent", "refine", "estimated_ms"),
    [
        ({"classes": "tabby", "budget_ms": 100}, "grabcut", 100),
        ({"classes": "tabby", "budget_ms": 99.9}, "guided", 5),
        ({"classes": "tabby", "refine": "auto"}, "guided", 5),  # the card's 50 ms
        ({"classes": "tabby,dog", "budget_ms": 100}, "guided", 10),
        ({"classes": "tabby", "budget_ms": 4}, "none", 0.2),
        ({"classes": "tabby", "budget_ms": 0.1}, "none", 0.2),
    ],
)
def test_auto_is_the_best_refinement_that_fits_the_budget(
    ranked: Pipeline, sent: dict[str, Any], refine: str, estimated_ms: float
) -> None:
    (answer,) = ask(ranked, sent)
    in_force = of_auto(answer)
    told = in_force.pop("auto")
    assert (answer.status, in_force["refine"]) == (200, refine)
    assert (told["budget_ms"], told["estimated_ms"]) == (sent.get("budget_ms", 50), estimated_ms)
    timings_ms = json.loads(answer.headers["X-Weakseg-Timings-Ms"])
    assert told["actual_ms"] == round(timings_ms["maps"] + timings_ms["refine"], 3) > 0
    warned = any("no refinement fits" in text for text in json.loads(answer.headers["X-Weakseg-Warnings"]))
    assert warned == (refine == "none")
    (asked,) = ask(ranked, {"classes": sent["classes"], "refine": refine})
    assert answer.body == asked.body
    assert in_force == of_auto(asked)


def test_where_nothing_fits_auto_takes_the_quickest(ranked: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    dear = {"none": 300.0, "guided": 40.0, "grabcut": 100.0}  # the plain map of a large photo, at full size
    monkeypatch.setattr(FixedCosts, "estimate_ms", lambda self, settings, work: dear[settings.refine])
    fits, tight = ask(ranked, {"classes": "tabby", "budget_ms": 40}, {"classes": "tabby", "budget_ms": 39})
    assert [of_auto(answer)["refine"] for answer in (fits, tight)] == ["guided", "guided"]
    warned = [json.loads(answer.headers["X-Weakseg-Warnings"]) for answer in (fits, tight)]
    assert warned == [[], ["refine=auto: nothing fits into 39 ms; guided is the quickest."]]


def test_a_deadline_that_is_closer_than_the_budget_lowers_it(runtime: FakeRuntime, ranked: Pipeline) -> None:
    hurried = Pipeline(RANKED, runtime, batch_deadline_s=0.09)
    answers = (
        ask(hurried, {"classes": "tabby", "budget_ms": 1000}),
        ask(ranked, {"classes": "tabby", "budget_ms": 1000}),
    )
    assert [of_auto(answer)["refine"] for (answer,) in answers] == ["guided", "grabcut"]


def test_auto_leaves_out_what_is_too_much_work(ranked: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weakseg.work.MAX_CUTS", 1)
    fine, less = ask(ranked, {"classes": "tabby", "budget_ms": 900}, {"classes": "tabby,dog", "budget_ms": 900})
    assert [of_auto(answer)["refine"] for answer in (fine, less)] == ["grabcut", "guided"]


def test_auto_in_process(ranked: Pipeline) -> None:
    (found,) = ranked.segment([photo()], [parse_options({"classes": "tabby", "budget_ms": 6})])
    (guided,) = ranked.segment([photo()], [parse_options({"classes": "tabby", "refine": "guided"})])
    assert np.array_equal(found.label_map, guided.label_map)


def test_a_missing_reference_engine_is_explained(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weakseg.work.find_spec", lambda name: None)
    fine, missing = ask(pipeline, {"refine": "crf"}, {"crf_engine": "pydensecrf"})
    assert (fine.status, missing.status) == (200, 400)
    error = json.loads(missing.body)["error"]
    assert (error["code"], error["field"]) == ("option_invalid", "crf_engine")
    assert "fast" in error["remedy"]


def test_cores_side_by_side_answer_as_one_does(runtime: FakeRuntime, pipeline: Pipeline) -> None:
    requests: list[Any] = [
        {"classes": "tabby", "refine": "crf"},
        {"classes": "cat,dog", "refine": "grabcut"},
        RawRequest(b"not a picture"),
        {"classes": "none", "box": "8,8,90,60"},
        RawRequest(png(photo(33, 47)), {"format": "overlay", "refine": "guided"}),
        {"classes": "nobody"},
        {"refine": "crf+grabcut", "format": "cutout"},
    ]
    threads = cv2.getNumThreads()
    many = Pipeline(CARD.model_copy(update={"threads": 3}), runtime)
    assert [answer.body for answer in ask(many, *requests)] == [answer.body for answer in ask(pipeline, *requests)]
    assert cv2.getNumThreads() == threads


class GpuRuntime(FakeRuntime):
    device = "cuda:0"


def test_a_gpu_gets_the_crfs_of_a_batch_as_one(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []

    def find_counting_engine(name: CrfEngineName, device: str) -> CrfEngine:
        assert device == "cuda:0"

        def infer(problems: Sequence[CrfProblem]) -> list[NDArray[np.float32]]:
            batches.append(len(problems))
            return find_engine(name)(problems)

        return infer

    monkeypatch.setattr("weakseg.pipeline.find_engine", find_counting_engine)
    requests: list[Any] = [
        {"classes": "tabby", "refine": "crf"},
        RawRequest(b"not a picture"),
        RawRequest(png(photo(33, 47)), {"refine": "crf+grabcut", "classes": "cat,dog"}),
        {"classes": "none", "box": "8,8,90,60"},
        {"refine": "none"},
        {"refine": "crf", "crf_engine": "exact", "format": "json"},
    ]
    together = ask(Pipeline(CARD, GpuRuntime(CARD, SCORES)), *requests)
    assert sorted(batches) == [1, 2], "one call per engine"
    alone = ask(pipeline, *requests)
    assert [answer.body for answer in together][:5] == [answer.body for answer in alone][:5]
    assert json.loads(together[5].body)["segments"] == json.loads(alone[5].body)["segments"]


def test_the_reference_engine_is_left_to_each_request_on_a_gpu(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_no_engine(name: CrfEngineName, device: str) -> CrfEngine:
        raise AssertionError(name)

    monkeypatch.setattr("weakseg.pipeline.find_engine", find_no_engine)
    requests = [{"classes": "tabby", "refine": "crf", "crf_engine": "pydensecrf"}] * 2
    together = ask(Pipeline(CARD, GpuRuntime(CARD, SCORES)), *requests)
    assert [answer.body for answer in together] == [answer.body for answer in ask(pipeline, *requests)]


def test_a_gpu_solves_crfs_in_process_too(monkeypatch: pytest.MonkeyPatch) -> None:
    devices: list[str] = []

    def find_spying_engine(name: CrfEngineName, device: str) -> CrfEngine:
        devices.append(device)
        return find_engine(name)

    monkeypatch.setattr("weakseg.refine.refine.find_engine", find_spying_engine)
    options = [parse_options({"classes": "tabby", "refine": "crf"})]
    on_gpu, on_cpu = (
        Pipeline(CARD, kind(CARD, SCORES)).segment([photo()], options) for kind in (GpuRuntime, FakeRuntime)
    )
    assert devices == ["cuda:0", "cpu"]
    assert np.array_equal(on_gpu[0].label_map, on_cpu[0].label_map)


def test_crfs_that_fail_together_are_solved_alone(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def find_broken_engine(name: CrfEngineName, device: str) -> CrfEngine:
        raise MemoryError("too many at once")

    monkeypatch.setattr("weakseg.pipeline.find_engine", find_broken_engine)
    requests = [{"classes": "tabby", "refine": "crf"}] * 2
    together = ask(Pipeline(CARD, GpuRuntime(CARD, SCORES)), *requests)
    assert [answer.body for answer in together] == [answer.body for answer in ask(pipeline, *requests)]
    assert "too many at once" in caplog.text


def test_segment_in_process_equals_the_answer(pipeline: Pipeline) -> None:
    sent = {"classes": "cat,dog"}
    (segmentation,) = pipeline.segment([photo()], [parse_options(sent)])
    assert np.array_equal(segmentation.label_map, pixels(ask(pipeline, sent)[0]))


def test_asking_twice_for_the_same_label_gives_it_once(pipeline: Pipeline) -> None:
    (answer,) = ask(pipeline, {"classes": "tabby,0,TABBY", "format": "json"})
    assert len(json.loads(answer.body)["segments"]) == 1
