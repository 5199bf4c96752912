"""The pipeline of a network that learned masks, over a fake one that reads probabilities off the photo's colours."""

import io
import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.helpers.fakes import FakePixelRuntime, FakeRuntime, make_card, make_pixel_card
from weakseg import pipeline as pipeline_module
from weakseg import work
from weakseg.codec.decode import Limits, Photo, decode_photo
from weakseg.errors import OptionValueError
from weakseg.groups import group_plans
from weakseg.options import parse_options
from weakseg.pipeline import Pipeline
from weakseg.refine.crf import find_engine
from weakseg.types import Answer, GraphOutput, Query, RawRequest
from weakseg.voc import palette

CARD = make_pixel_card()
CAT, DOG = 1, 2  # values, whatever is asked for


def photo(height: int = 64, width: int = 96) -> NDArray[np.uint8]:
    """Left half a cat (0.8), bottom quarter a dog (0.9 where there is no cat, 0.1 where there is)."""
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[:, : width // 2, 0] = 204
    rgb[-height // 4 :, : width // 2, 1] = 25
    rgb[-height // 4 :, width // 2 :, 1] = 230
    return rgb


def png(rgb: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG")
    return buffer.getvalue()


def jpeg(rgb: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


def pixels(answer: Answer) -> NDArray[np.uint8]:
    return np.array(Image.open(io.BytesIO(answer.body)))


@pytest.fixture
def runtime() -> FakePixelRuntime:
    return FakePixelRuntime()


@pytest.fixture
def pipeline(runtime: FakePixelRuntime) -> Pipeline:
    return Pipeline(CARD, runtime, Limits(max_bytes=500_000, max_pixels=2_000_000))


def ask(pipeline: Pipeline, *requests: Any) -> list[Answer]:
    return pipeline.answer([RawRequest(png(photo()), sent) if isinstance(sent, dict) else sent for sent in requests])


def truth(height: int = 64, width: int = 96) -> NDArray[np.uint8]:
    label_map = np.zeros((height, width), np.uint8)
    label_map[-height // 4 :] = DOG
    label_map[:, : width // 2] = CAT
    return label_map


def test_values_do_not_depend_on_what_is_asked_for(pipeline: Pipeline, runtime: FakePixelRuntime) -> None:
    both, turned, dog, auto = ask(pipeline, {"classes": "cat,dog"}, {"classes": "dog,cat"}, {"classes": "dog"}, {})
    assert np.array_equal(pixels(both), truth())
    assert np.array_equal(pixels(turned), truth())
    assert np.array_equal(pixels(auto), truth())
    assert np.array_equal(pixels(dog), np.where(truth() == DOG, DOG, 0))
    values = [
        [(part["label"], part["value"]) for part in json.loads(a.headers["X-Weakseg-Segments"])]
        for a in (both, turned, dog)
    ]
    assert values == [[("cat", 1), ("dog", 2)], [("dog", 2), ("cat", 1)], [("dog", 2)]]
    assert runtime.calls[0][0] == (4, 32, 48, 3)


def test_json_has_a_legend_in_the_masks_colours(pipeline: Pipeline) -> None:
    document = json.loads(ask(pipeline, {"classes": "dog", "format": "json"})[0].body)
    assert document["legend"] == [
        {"value": 1, "label": "cat", "color": "#800000"},
        {"value": 2, "label": "dog", "color": "#008000"},
    ]
    assert [(part["label"], part["value"], part["area_px"]) for part in document["segments"]] == [("dog", 2, 16 * 48)]
    assert document["options"] == {
        "classes": ["dog"], "refine": "none", "max_side": 48, "tile": False, "threshold": 0.5, "format": "json",
    }  # fmt: skip
    indexed = Image.open(io.BytesIO(ask(pipeline, {"classes": "dog"})[0].body))
    assert np.array(indexed.convert("RGB"))[60, 90].tolist() == [0, 128, 0] == palette()[DOG].tolist()


@pytest.mark.parametrize(("count", "values"), [(254, [254, 1]), (255, [1, 2])])
def test_no_label_has_the_value_of_void(count: int, values: list[int]) -> None:
    card = make_pixel_card(classes=tuple(f"class {index}" for index in range(count)))
    last = f"class {count - 1}"

    def first_and_last(images: NDArray[np.uint8], query: Query) -> GraphOutput:
        probs = np.moveaxis(images[..., :2], 3, 1).astype(np.float32) / 255  # (1, 2, h, w)
        return GraphOutput(np.zeros((1, count), np.float32), probs, query.labels)

    runtime = FakePixelRuntime()
    runtime.run = first_and_last  # type: ignore[method-assign]
    (answer,) = ask(Pipeline(card, runtime), {"classes": f"{last},class 0", "format": "json"})
    document = json.loads(answer.body)
    assert [(part["label"], part["value"]) for part in document["segments"]] == [
        (last, values[0]),
        ("class 0", values[1]),
    ]
    assert len(document.get("legend", [])) == (254 if count == 254 else 0)


def test_maps_have_no_legend() -> None:
    card = make_card()
    (answer,) = ask(Pipeline(card, FakeRuntime(card, [0.1] * 8)), {"format": "json"})
    assert "legend" not in json.loads(answer.body)


def test_every_format(pipeline: Pipeline) -> None:
    cutout, overlay, heatmap, npz = ask(
        pipeline, *({"format": name} for name in ("cutout", "overlay", "heatmap", "npz"))
    )
    assert np.array_equal(pixels(cutout)[..., 3] > 0, truth() > 0)
    assert pixels(overlay).shape == pixels(heatmap).shape == (64, 96, 3)
    with np.load(io.BytesIO(npz.body), allow_pickle=False) as arrays:
        assert arrays["labels"].tolist() == ["dog", "cat"], "best first"
        assert arrays["values"].tolist() == [2, 1]
        assert np.array_equal(arrays["label_map"], truth())
        assert arrays["maps"][1, :40, :40] == pytest.approx(0.8, abs=1e-3)


def test_auto_answers_with_every_label_that_is_likely(pipeline: Pipeline) -> None:
    faint = photo()
    faint[..., 1] //= 4
    for sent, labels in ((photo(), ["dog", "cat"]), (faint, ["cat"]), (faint // 4, ["cat"])):
        (answer,) = ask(pipeline, RawRequest(png(sent), {"format": "json"}))
        assert [part["label"] for part in json.loads(answer.body)["segments"]] == labels


@pytest.mark.parametrize("sent", [{}, {"tile": True, "max_side": 96}])
def test_maps_that_are_not_answered_do_not_wait_for_the_end_of_the_batch(
    pipeline: Pipeline, sent: dict[str, Any]
) -> None:
    faint = photo()
    faint[..., 1] //= 4
    (output,) = pipeline.forward([pipeline.plan(faint, parse_options(sent))])
    assert (output.maps.shape[1], output.chosen.tolist()) == (1, [[0]])
    kept = output.maps if output.maps.base is None else output.maps.base
    assert kept.nbytes == output.maps.nbytes, "no view of a larger array"
    (output,) = pipeline.forward([pipeline.plan(faint, parse_options({"classes": "dog,cat", **sent}))])
    assert output.chosen.tolist() == [[1, 0]]


def test_auto_may_answer_with_more_than_five() -> None:
    card = make_pixel_card(classes=tuple(f"class {index}" for index in range(30)))
    query = Pipeline(card, FakePixelRuntime()).plan(photo(), parse_options({})).query
    assert query is not None
    assert query.labels.tolist() == [[-rank for rank in range(1, 21)]]


def test_nothing_found_is_an_empty_mask_and_a_warning(pipeline: Pipeline) -> None:
    auto, both = ask(pipeline, *(RawRequest(png(photo() // 8), sent) for sent in ({}, {"classes": "cat,dog"})))
    for answer, missing in ((auto, "dog"), (both, "cat, dog")):
        assert not pixels(answer).any()
        assert json.loads(answer.headers["X-Weakseg-Warnings"]) == [f"not found, mask empty: {missing}."]


def test_a_low_score_and_no_background_are_said() -> None:
    pipeline = Pipeline(CARD, FakePixelRuntime())
    rgb = np.full((40, 60, 3), 77, np.uint8)  # 0.3
    low, full = ask(
        pipeline,
        RawRequest(png(rgb), {"classes": "cat", "threshold": "0.3"}),
        RawRequest(png(rgb * 3), {"classes": "cat"}),
    )
    assert json.loads(low.headers["X-Weakseg-Warnings"]) == [
        "cat: its score is 0.3; the photo may not show it.",
        "cat: its mask covers 100% of the photo; it found no background.",
    ]
    assert json.loads(full.headers["X-Weakseg-Warnings"]) == [
        "cat: its mask covers 100% of the photo; it found no background."
    ]


def test_a_class_that_the_model_does_not_have(pipeline: Pipeline) -> None:
    (answer,) = ask(pipeline, {"classes": "hair"})
    error = json.loads(answer.body)["error"]
    assert (answer.status, error["field"]) == (400, "classes")
    assert error["remedy"] == "The model has 2 classes: cat, dog."
    assert "Retry-After" not in answer.headers, "it would be refused again"


def test_labels_that_share_a_class_are_not_asked_for_together() -> None:
    """Of p(cat) = 0.4 = p(pet) a rest of 0.2 would be left, and the pixel be a cat's, though 0.6 speak against it."""
    pipeline = Pipeline(make_pixel_card(groups={"pet": (0, 1)}), FakePixelRuntime())
    rgb = np.full((40, 60, 3), 102, np.uint8)
    shared, alone, best = ask(
        pipeline,
        RawRequest(png(rgb), {"classes": "cat,pet"}),
        RawRequest(png(rgb), {"classes": "pet"}),
        RawRequest(png(rgb), {"classes": "cat,pet", "pick": "best"}),
    )
    assert [answer.status for answer in (shared, alone, best)] == [400, 200, 200]
    error = json.loads(shared.body)["error"]
    assert (error["code"], error["field"]) == ("option_invalid", "classes")
    assert error["message"].startswith("'cat' and 'pet' share class 'cat'")
    assert not pixels(alone).any()


def test_auto_answers_with_the_better_of_groups_that_share_a_class() -> None:
    card = make_pixel_card(classes=("cat",), groups={"pet": (0,), "animal": (0,)})
    rgb = np.full((40, 60, 3), (0, 153, 204), np.uint8)  # pet 0.6, animal 0.8
    (answer,) = ask(Pipeline(card, FakePixelRuntime()), RawRequest(png(rgb), {"format": "json"}))
    assert [part["label"] for part in json.loads(answer.body)["segments"]] == ["animal"]


def test_max_side_is_what_the_network_sees(pipeline: Pipeline, runtime: FakePixelRuntime) -> None:
    tall = RawRequest(png(photo(640, 400)), {"max_side": "320"})
    default, small, large, upright = ask(pipeline, {}, {"max_side": 33}, {"max_side": 1024}, tall)
    assert sorted(shape[1:3] for shape, _ in runtime.calls) == [(22, 33), (32, 48), (64, 96), (320, 200)]
    assert np.array_equal(pixels(default), truth())
    assert np.array_equal(pixels(large), truth())
    assert (pixels(small) != truth()).mean() < 0.04, "within a pixel of the network's"
    assert np.array_equal(pixels(upright), truth(640, 400))
    assert json.loads(large.headers["X-Weakseg-Options"])["max_side"] == 1024


@pytest.mark.parametrize("sent", [{"max_side": 64}, {"tile": True}, {"tile": "false"}])
def test_a_classifier_has_neither_size_nor_tiles(sent: dict[str, Any]) -> None:
    card = make_card()
    (answer,) = ask(Pipeline(card, FakeRuntime(card, [0.1] * 8)), sent)
    error = json.loads(answer.body)["error"]
    (name, value), *_ = sent.items()
    assert (answer.status, error["field"]) == (400, name)
    assert str(value).casefold() in error["message"].casefold()
    assert "pixels" in error["remedy"]


def test_tiles_change_nothing_for_a_pointwise_network(pipeline: Pipeline, runtime: FakePixelRuntime) -> None:
    tiled, whole = ask(
        pipeline,
        {"tile": True, "max_side": 96, "format": "npz"},
        {"max_side": 96, "format": "npz"},
    )
    assert {shape[1:3] for shape, _ in runtime.calls} == {(16, 24), (64, 96)}
    with np.load(io.BytesIO(tiled.body)) as found, np.load(io.BytesIO(whole.body)) as expected:
        assert found["labels"].tolist() == expected["labels"].tolist()
        assert np.array_equal(found["label_map"], expected["label_map"])
        np.testing.assert_allclose(found["maps"], expected["maps"], atol=1e-3)  # float16
    in_force = json.loads(tiled.headers["X-Weakseg-Options"])
    assert (in_force["tile"], in_force["max_side"]) == (True, 96)


def test_tiles_look_at_2048_pixels_where_nothing_else_is_said(runtime: FakePixelRuntime) -> None:
    card = make_pixel_card(preprocessing={**CARD.preprocessing.model_dump(), "height": 256, "width": 256})
    plan = Pipeline(card, runtime).plan(np.zeros((2400, 3000, 3), np.uint8), parse_options({"tile": True}))
    assert plan.tiling is not None
    assert plan.tiling.picture_hw == (1638, 2048)
    assert plan.network_input is not None
    assert plan.network_input.shape == (1638, 2048, 3)


def test_tiles_without_a_size_are_as_many_as_one_request_may_have(runtime: FakePixelRuntime) -> None:
    """Starts of tiles of 224 lie 168 apart: 10 gaps reach 1904 pixels, 11 x 11 tiles; 11 gaps would be 12 x 12."""
    card = make_pixel_card(preprocessing={**CARD.preprocessing.model_dump(), "height": 224, "width": 224})
    pipeline, rgb = Pipeline(card, runtime), np.zeros((2048, 2048, 3), np.uint8)
    plan = pipeline.plan(rgb, parse_options({"tile": True, "refine": "auto"}))
    assert plan.tiling is not None
    assert (plan.tiling.picture_hw, plan.tiling.count) == ((1904, 1904), 121)
    assert {settings.max_side for settings in (plan.settings, *plan.ranking)} == {1904}
    with pytest.raises(OptionValueError, match="2048 x 2048 pixels are 144 tiles"):
        pipeline.plan(rgb, parse_options({"tile": True, "max_side": 2048}))


def test_the_size_that_tiles_got_is_reported(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two maps of 90 x 60 pixels fit, of 91 x 61 they do not; one map of 96 x 64 does."""
    monkeypatch.setattr(work, "MAX_TILED_VALUES", 2 * 60 * 90)
    found = ask(pipeline, *({"tile": True, **sent} for sent in ({}, {"classes": "cat,dog"}, {"classes": "cat"})))
    assert [answer.status for answer in found] == [200, 200, 200]
    sides = [json.loads(answer.headers["X-Weakseg-Options"])["max_side"] for answer in found]
    assert sides == [90, 90, 2048]


def test_segment_and_forward_take_tiles_too(pipeline: Pipeline) -> None:
    options = [parse_options({"tile": True, "max_side": 96}), parse_options({}), parse_options({"classes": "dog"})]
    found = pipeline.segment([photo(), photo(), photo()], options)
    assert np.array_equal(found[0].label_map, truth())
    assert np.array_equal(found[1].label_map, truth())
    assert np.array_equal(found[2].label_map, np.where(truth() == DOG, DOG, 0))
    (output,) = pipeline.forward([pipeline.plan(photo(), options[0])])
    assert output.maps.shape == (1, 2, 64, 96)


def test_too_many_tiles_are_refused_before_they_hold_the_worker(pipeline: Pipeline, runtime: FakePixelRuntime) -> None:
    """1600 x 400 pixels in tiles of 24 x 16 are 89 times 33; 320 x 80 are 18 times 7, 352 x 88 are 20 times 7."""
    wide = png(np.zeros((400, 1600, 3), np.uint8))
    (refused,) = ask(pipeline, RawRequest(wide, {"tile": True, "max_side": 2048}))
    assert (refused.status, runtime.calls) == (400, [])
    assert json.loads(refused.body)["error"] == {
        "code": "option_invalid",
        "field": "max_side",
        "message": "1600 x 400 pixels are 2937 tiles, more than 128.",
        "remedy": "Send 320 or less, or leave tile out.",
    }
    fitting, longer = ask(pipeline, *(RawRequest(wide, {"tile": True, "max_side": side}) for side in (320, 352)))
    assert (fitting.status, longer.status) == (200, 400)
    assert sum(shape[0] for shape, _ in runtime.calls) == 18 * 7


def test_maps_too_large_to_keep_are_refused(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "MAX_TILED_VALUES", 64 * 96)
    auto, both, one = ask(
        pipeline,
        *({"tile": True, "max_side": 2048, **sent} for sent in ({}, {"classes": "cat,dog"}, {"classes": "cat"})),
    )
    assert [answer.status for answer in (auto, both, one)] == [400, 400, 200]
    error = json.loads(both.body)["error"]
    assert error["field"] == "max_side"
    assert "2 maps of 96 x 64 pixels" in error["message"]
    assert "fewer classes" in error["remedy"]


def test_tiles_that_take_too_long_are_told_so_and_their_neighbours_are_answered(
    pipeline: Pipeline, runtime: FakePixelRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    def slow(images: NDArray[np.uint8]) -> bool:
        now[0] += 5 * len(images) if images.shape[1:3] == (16, 24) else 0
        return False

    monkeypatch.setattr(runtime, "_fail_when", slow)
    monkeypatch.setattr(pipeline_module.time, "perf_counter", lambda: now[0])
    tiled, plain = ask(pipeline, {"tile": True, "max_side": 96}, {})
    assert (tiled.status, plain.status) == (503, 200)
    error = json.loads(tiled.body)["error"]
    assert (error["code"], error["field"]) == ("tiles_too_slow", "max_side")
    assert tiled.headers["Retry-After"] == "1"


def test_a_batch_of_all_kinds_equals_single_requests(pipeline: Pipeline) -> None:
    requests: list[Any] = [
        {"tile": True, "max_side": 80, "refine": "crf"},
        {"classes": "dog"},
        {"tile": "often"},
        RawRequest(png(photo(40, 30)), {"classes": "cat,dog", "max_side": 32}),
        {"max_side": 2000},
        RawRequest(b"no picture", {"tile": True}),
        {"classes": "none", "box": "8,8,90,60"},
        {"classes": "cat", "box": "8,8,90,60", "tile": True},
        {"pick": "best", "classes": "cat,dog", "format": "overlay", "tile": True},
        {"refine": "grabcut", "format": "cutout"},
        {"classes": "hair", "tile": True},
    ]
    together = ask(pipeline, *requests)
    alone = [ask(pipeline, request)[0] for request in requests]
    assert [answer.status for answer in together] == [200, 200, 400, 200, 400, 415, 200, 200, 200, 200, 400]
    assert [answer.body for answer in together] == [answer.body for answer in alone]


@pytest.mark.parametrize("threads", [1, 3])
def test_a_network_that_fails_on_tiles_fails_for_them_alone(threads: int, caplog: pytest.LogCaptureFixture) -> None:
    runtime = FakePixelRuntime(fail_when=lambda images: images.shape[1:3] == (16, 24))
    pipeline = Pipeline(make_pixel_card(threads=threads), runtime)
    answers = ask(pipeline, {}, {"tile": True}, {"classes": "dog"}, {"tile": True, "classes": "cat"})
    assert [answer.status for answer in answers] == [200, 500, 200, 500]
    assert "made to fail" in caplog.text


def test_where_crfs_are_solved_together_those_of_tiles_are_solved_by_themselves(
    runtime: FakePixelRuntime, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [{"refine": "crf"}, {"refine": "crf", "tile": True, "max_side": 96}, {"refine": "crf", "max_side": 33}]
    alone = [ask(pipeline, sent)[0] for sent in requests]
    monkeypatch.setattr("weakseg.pipeline.find_engine", lambda name, device: find_engine(name))
    on_gpu = FakePixelRuntime()
    on_gpu.device = "cuda:0"
    together = ask(Pipeline(CARD, on_gpu), *requests)
    assert [answer.body for answer in together] == [answer.body for answer in alone]


def test_one_forward_pass_sees_so_many_pixels_at_most(monkeypatch: pytest.MonkeyPatch, pipeline: Pipeline) -> None:
    monkeypatch.setattr("weakseg.groups.PIXELS_AT_ONCE", 2 * 32 * 48)
    plans = [pipeline.plan(photo(), parse_options({"max_side": side})) for side in (48, 48, 96, 48, 96)]
    assert group_plans(enumerate(plans), CARD) == [[0, 1], [3], [2], [4]]


def test_a_jpeg_is_decoded_as_small_as_the_network_sees_it(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int | None] = []

    def spy(data: bytes, limits: Limits, *, least_px: int | None) -> Photo:
        asked.append(least_px)
        return decode_photo(data, limits, least_px=least_px)

    monkeypatch.setattr("weakseg.pipeline.decode_photo", spy)
    small = Pipeline(make_pixel_card(refine_side=40), pipeline.runtime)
    large = jpeg(photo(480, 720))
    sent: list[dict[str, Any]] = [
        {},
        {"max_side": 200},
        {"tile": True},
        {"tile": True, "max_side": 300},
        {"box": "1,1,9,9"},
    ]
    answers = small.answer([RawRequest(large, options) for options in sent])
    assert asked == [48, 200, 2048, 300, None]
    assert pixels(answers[0]).shape == pixels(answers[1]).shape == (480, 720)
    assert (pixels(answers[1]) != truth(480, 720)).mean() < 0.01
