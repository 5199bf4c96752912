"""The load test's own eyes: right answers pass, and each kind of wrong one is seen."""

from __future__ import annotations

import io
import json
import random

import numpy as np
import pytest
from PIL import Image

from tests.helpers.colour_archive import write_colour_archive
from tests.load.checks import find_change, find_error_fault, find_fault
from tests.load.mix import OF_PREDICTIONS, VARIETY, GoodRequest, Transport, draw_request, make_bad_requests
from tests.load.photos import Photo, make_photos
from weakseg.archive import open_archive
from weakseg.pipeline import Pipeline
from weakseg.runtime import open_runtime
from weakseg.types import Answer
from weakseg.wire import read_request

FORMATS = ("mask", "cutout", "overlay", "heatmap", "json", "npz")


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    archive = open_archive(write_colour_archive(tmp_path_factory.mktemp("store") / "colours.mar"))
    return Pipeline(archive.card, open_runtime(archive.card, archive.read_file))


@pytest.fixture(scope="module")
def photos() -> list[Photo]:
    return make_photos()


def _send(pipeline: Pipeline, arguments: dict) -> Answer:
    """As TorchServe's rows would be: a raw body, or JSON."""
    return pipeline.answer([read_request({"body": arguments["data"]}, arguments["headers"])])[0]


def _as_png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _answer(pipeline: Pipeline, photo: Photo, chosen: str) -> Answer:
    return _send(pipeline, GoodRequest(photo, {"format": chosen, "classes": "cat,dog"}, Transport.RAW).arguments())


@pytest.mark.parametrize("chosen", FORMATS)
def test_right_answers_pass_for_every_photo(pipeline: Pipeline, photos: list[Photo], chosen: str) -> None:
    for photo in photos:
        answer = _answer(pipeline, photo, chosen)
        assert answer.status == 200, answer.body
        assert find_fault(chosen, photo.size_wh, answer.body, answer.headers) is None


@pytest.mark.parametrize("chosen", FORMATS)
def test_another_size_is_seen(pipeline: Pipeline, photos: list[Photo], chosen: str) -> None:
    answer = _answer(pipeline, photos[0], chosen)
    width, height = photos[0].size_wh
    assert find_fault(chosen, (height, width), answer.body, answer.headers)


@pytest.mark.parametrize("chosen", FORMATS)
def test_a_truncated_body_is_seen(pipeline: Pipeline, photos: list[Photo], chosen: str) -> None:
    answer = _answer(pipeline, photos[0], chosen)
    assert find_fault(chosen, photos[0].size_wh, answer.body[: len(answer.body) // 2], answer.headers)


def test_a_mask_with_one_pixel_more_than_its_header_says_is_seen(pipeline: Pipeline, photos: list[Photo]) -> None:
    answer = _answer(pipeline, photos[0], "mask")
    with Image.open(io.BytesIO(answer.body)) as mask:
        mask.load()
    mask.putpixel((3, 2), (mask.getpixel((3, 2)) + 1) % 3)
    buffer = io.BytesIO()
    mask.save(buffer, "PNG")
    assert "header says" in (find_fault("mask", photos[0].size_wh, buffer.getvalue(), answer.headers) or "")


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [("area_px", 1, "area_px says 1"), ("box", [0, 0, 1, 1], "box says"), ("rle", {"size": [1, 2]}, "RLE is of size")],
)
def test_json_that_contradicts_its_run_lengths_is_seen(
    pipeline: Pipeline, photos: list[Photo], field: str, value: object, fault: str
) -> None:
    document = json.loads(_answer(pipeline, photos[0], "json").body)
    document["segments"][0][field] = value
    assert fault in (find_fault("json", photos[0].size_wh, json.dumps(document).encode(), {}) or "")


@pytest.mark.parametrize("chosen", ["mask", "cutout"])
@pytest.mark.parametrize(("changed_px", "seen"), [(0, False), (5, False), (6, True)])
def test_masks_may_differ_in_a_thousandth_of_their_pixels(chosen: str, changed_px: int, seen: bool) -> None:
    shape = (50, 100) if chosen == "mask" else (50, 100, 4)
    before, now = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    now.reshape(5000, -1)[:changed_px, -1] = 1
    fault = find_change(chosen, *(_as_png(picture) for picture in (before, now)))
    assert ("0.12% of the pixels" in (fault or "")) == seen


@pytest.mark.parametrize(
    ("areas", "seen"), [({"cat": 105, "dog": 0}, False), ({"cat": 106, "dog": 0}, True), ({"cat": 100}, True)]
)
def test_areas_may_differ_by_a_thousandth_of_the_photo(areas: dict[str, int], seen: bool) -> None:
    bodies = (
        {"image": {"width": 100, "height": 50}, "segments": [{"label": k, "area_px": v} for k, v in each.items()]}
        for each in ({"cat": 100, "dog": 0}, areas)
    )
    assert (find_change("json", *(json.dumps(body).encode() for body in bodies)) is not None) == seen


@pytest.mark.parametrize("chosen", ["mask", "cutout", "overlay", "json"])
def test_the_answer_to_another_request_is_seen(pipeline: Pipeline, photos: list[Photo], chosen: str) -> None:
    first, again, other = (_answer(pipeline, photos[number], chosen).body for number in (0, 0, 1))
    assert find_change(chosen, first, again) is None
    assert "another" in (find_change(chosen, first, other) or "")


@pytest.mark.parametrize("chosen", ["heatmap", "npz"])
def test_maps_are_not_compared(chosen: str) -> None:
    assert find_change(chosen, b"0.1000001", b"0.1000002") is None


def test_bad_requests_get_the_error_that_is_expected(pipeline: Pipeline, photos: list[Photo]) -> None:
    for request in make_bad_requests(photos[0]):
        answer = _send(pipeline, request.arguments())
        assert find_error_fault(request.status, request.code, answer.status, answer.body) is None


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (200, b"{}", "status 200"),
        (400, b"Bad Request", "no error body"),
        (400, b'{"error": {"code": "option_invalid"}}', "error body has"),
        (400, b'{"error": {"code": "x", "field": "", "message": "m", "remedy": "r"}}', "code x"),
        (400, b'{"error": {"code": "option_invalid", "field": "", "message": "m", "remedy": ""}}', "no remedy"),
    ],
)
def test_wrong_errors_are_seen(status: int, body: bytes, fault: str) -> None:
    assert fault in (find_error_fault(400, "option_invalid", status, body) or "")


def test_drawn_requests_are_good_mixed_and_repeated(pipeline: Pipeline, photos: list[Photo]) -> None:
    chance = random.Random(1)
    drawn = [draw_request(chance, photos, ["cat", "dog", "sky"]) for _ in range(300)]
    different = {request.key: request for request in drawn}
    assert len(different) <= VARIETY
    assert {request.transport for request in drawn} == set(OF_PREDICTIONS)
    assert {request.options["format"] for request in drawn} == set(FORMATS)
    assert {request.photo.name for request in drawn} == {photo.name for photo in photos}
    for request in different.values():
        raw = GoodRequest(request.photo, request.options, Transport.RAW)
        answer = _send(pipeline, raw.arguments())
        assert answer.status == 200, answer.body
        assert find_fault(request.options["format"], request.photo.size_wh, answer.body, answer.headers) is None
