"""Networks that label pixels, over HTTP: the same requests, the same formats, the same errors."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import skimage.data
from PIL import Image

from tests.e2e.conftest import Service
from tests.helpers.http import post, post_form, send
from tests.helpers.photos import encode, three_stripes
from weakseg.models.pixel.bundled import bundled_checkpoints


def test_a_mask_of_the_photos_own_size(service: Service) -> None:
    reply = post(service.pixels, three_stripes(240, 91), X_Weakseg_Classes="red,green")
    assert (reply.status, reply.content_type) == (200, "image/png"), reply.body
    mask = np.array(Image.open(io.BytesIO(reply.body)))
    assert mask.shape == (91, 240)
    assert mask[45, [40, 120, 200]].tolist() == [1, 0, 2]
    assert [segment["label"] for segment in json.loads(reply.headers["x-weakseg-segments"])] == ["red", "green"]


def test_json_and_a_class_that_it_has_not(service: Service) -> None:
    told = post_form(service.pixels, three_stripes(), format="json", classes="green").json
    assert (told["model"], told["version"], told["method"]) == ("tiny_pixels", "3.2", "pixels")
    assert told["segments"][0]["score"] == pytest.approx(0.75, abs=1e-3)
    refused = post_form(service.pixels, three_stripes(), classes="blue")
    assert (refused.status, refused.json["error"]["code"]) == (400, "class_unknown")
    assert "red, green" in refused.json["error"]["remedy"]


def test_the_metadata_says_how_large_the_input_may_be(service: Service) -> None:
    (described,) = send("GET", f"{service.management}/tiny_pixels?customized=true").json
    told = described["customizedMetadata"]
    assert (told["method"], told["class_count"], told["preprocessing"]["max_side"]) == ("pixels", 2, 128)


@pytest.mark.parametrize("name", bundled_checkpoints())
def test_models_of_the_package_are_served_by_default(service: Service, name: str) -> None:
    portrait = encode(Image.fromarray(skimage.data.astronaut()[:400]))
    reply = post(f"{service.launcher.url}/predictions/{name}", portrait)
    assert reply.status == 200, reply.body
    assert Image.open(io.BytesIO(reply.body)).size == (512, 400)
    assert f"/predictions/{name}" in service.said
