"""Every kind of request and every kind of mistake, over HTTP."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from tests.e2e.conftest import MODELS, Service
from tests.helpers.http import Reply, post, post_form, post_json, put, send
from tests.helpers.photos import cat_photo, every_kind, png_bomb
from weakseg.stopwatch import STAGES

KINDS = every_kind()


def picture(reply: Reply) -> Image.Image:
    assert (reply.status, reply.content_type) == (200, "image/png"), reply.body
    return Image.open(io.BytesIO(reply.body))


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_picture_gives_a_mask_of_the_upright_size(service: Service, kind: str) -> None:
    mask = picture(post(service.tiny, KINDS[kind]))
    assert (mask.mode, mask.size) == ("P", (120, 80))


def test_every_way_to_send_a_request(service: Service) -> None:
    photo = cat_photo()
    options = {"classes": "cat,beagle", "refine": "none", "threshold": "0.4"}
    headers = {f"X_Weakseg_{name}": text for name, text in options.items()}
    replies = [
        post(service.tiny, photo, **headers),
        put(service.tiny, photo, **headers),
        post_form(service.tiny, photo, **options),
        post_json(
            service.tiny, {"image": b64(photo), "classes": ["cat", "beagle"], "refine": "none", "threshold": 0.4}
        ),
        post_json(service.tiny, {"image": f"data:image/jpeg;base64,{b64(photo)}", **options}),
    ]
    assert [reply.status for reply in replies] == [200] * 5
    assert len({reply.body for reply in replies}) == 1
    segments = json.loads(replies[0].headers["x-weakseg-segments"])
    assert [segment["label"] for segment in segments] == ["cat", "beagle"]


def test_every_format(service: Service) -> None:
    replies = {name: post_form(service.tiny, cat_photo(), format=name) for name in ("cutout", "overlay", "heatmap")}
    assert {name: picture(reply).mode for name, reply in replies.items()} == {
        "cutout": "RGBA",
        "overlay": "RGB",
        "heatmap": "RGB",
    }
    assert {picture(reply).size for reply in replies.values()} == {(120, 80)}

    told = post_form(service.tiny, cat_photo(), format="json", classes="tabby").json
    assert told["image"] == {"width": 120, "height": 80}
    assert (told["model"], told["version"], told["method"], told["demonstration"]) == ("tiny_cam", "7.1", "cam", False)
    assert set(told["timings_ms"]) == {*STAGES, "total"}
    assert told["segments"][0]["rle"]["size"] == [80, 120]
    assert told["options"]["classes"] == ["tabby"]

    npz = post_form(service.tiny, cat_photo(), format="npz", classes="tabby,beagle")
    assert npz.content_type == "application/x-npz"
    arrays = np.load(io.BytesIO(npz.body))
    assert (arrays["maps"].shape, arrays["maps"].dtype) == ((2, 80, 120), np.float16)


def test_the_accept_header_chooses_a_format(service: Service) -> None:
    assert post(service.tiny, cat_photo(), Accept="application/json").content_type == "application/json"
    assert post(service.tiny, cat_photo(), Accept="image/png").content_type == "image/png"


def test_the_object_task_and_naked_grabcut(service: Service) -> None:
    for classes in ("cat", "none"):
        mask = np.array(picture(post_form(service.tiny, cat_photo(), classes=classes, box="20,10,100,70")))
        assert mask.shape == (80, 120)
        mask[10:70, 20:100] = 0
        assert not mask.any(), "the mask leaves the box"


def test_the_explanations_endpoint_gives_the_heat_map(service: Service) -> None:
    explained = post(f"{service.launcher.url}/explanations/tiny_cam", cat_photo())
    assert explained.body == post_form(service.tiny, cat_photo(), format="heatmap").body


WRONG = {
    "no image": ({"classes": "cat"}, None, 400, "image_missing", "image"),
    "an empty image": ({}, b"", 400, "image_missing", "image"),
    "not an image": ({}, b"just some words, no picture", 415, "image_unreadable", "image"),
    "a truncated JPEG": ({}, cat_photo(400, 300)[:4000], 400, "image_truncated", "image"),
    "a truncated PNG": ({}, cat_photo(400, 300, "PNG")[:4000], 400, "image_truncated", "image"),
    "a decompression bomb": ({}, png_bomb(), 413, "image_too_large", "image"),
    "too many bytes": ({}, cat_photo() + bytes(21 * 2**20), 413, "image_too_large", "image"),
    "an unknown class": ({"classes": "begle"}, cat_photo(), 400, "class_unknown", "classes"),
    "an unknown option": ({"treshold": "0.5"}, cat_photo(), 400, "option_unknown", "treshold"),
    "a bad number": ({"threshold": "half"}, cat_photo(), 400, "option_invalid", "threshold"),
    "a number out of range": ({"threshold": "1.5"}, cat_photo(), 400, "option_invalid", "threshold"),
    "an unknown engine": ({"crf_engine": "slow"}, cat_photo(), 400, "option_invalid", "crf_engine"),
    "a budget beside a refinement": (
        {"budget_ms": "20", "refine": "crf"},
        cat_photo(),
        400,
        "option_invalid",
        "budget_ms",
    ),
    "a box outside": ({"box": "0,0,500,70"}, cat_photo(), 400, "option_invalid", "box"),
    "an unknown format": ({"format": "gif"}, cat_photo(), 400, "option_invalid", "format"),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_a_mistake_is_explained(service: Service, mistake: str) -> None:
    options, image, status, code, field = WRONG[mistake]
    reply = post_form(service.tiny, image, **options)
    assert (reply.status, reply.content_type) == (status, "application/json")
    assert set(reply.json) == {"error"}
    error = reply.json["error"]
    assert (error["code"], error["field"]) == (code, field)
    assert error["message"]
    assert error["remedy"]
    if mistake == "an unknown class":
        assert "beagle" in error["remedy"]


def test_mistakes_in_the_body_and_in_headers(service: Service) -> None:
    replies = {
        "broken JSON": post(service.tiny, b'{"image": "abc"', Content_Type="application/json"),
        "JSON a thousand deep": post(service.tiny, b"[" * 100_000, Content_Type="application/json"),
        "a JSON list": post_json(service.tiny, ["image"]),
        "broken base64": post_json(service.tiny, {"image": "%%%"}),
        "JSON without an image": post_json(service.tiny, {"classes": ["cat"]}),
        "an empty body": post(service.tiny, b""),
        "an unknown header option": post(service.tiny, cat_photo(), X_Weakseg_Colour="red"),
        "a type that is not made": post(service.tiny, cat_photo(), Accept="video/mp4"),
    }
    found = {mistake: (reply.status, reply.json["error"]["code"]) for mistake, reply in replies.items()}
    assert found == {
        "broken JSON": (400, "body_malformed"),
        "JSON a thousand deep": (400, "body_malformed"),
        "a JSON list": (400, "body_malformed"),
        "broken base64": (400, "body_malformed"),
        "JSON without an image": (400, "image_missing"),
        "an empty body": (400, "image_missing"),
        "an unknown header option": (400, "option_unknown"),
        "a type that is not made": (406, "format_not_acceptable"),
    }


def test_nothing_that_was_sent_has_harmed_the_worker(service: Service) -> None:
    assert send("GET", f"{service.launcher.url}/ping").json == {"status": "Healthy"}
    log = (service.launcher.state / "logs" / "model_log.log").read_text()
    tracebacks = [line for line in log.splitlines() if "Traceback" in line]
    assert [
        line for line in tracebacks if any(f"-{name}_" in line for name in MODELS.split(","))
    ] == []  # broken archives have some
    assert log.count("Torch worker started.") == len({line for line in log.splitlines() if "[PID]" in line})
