"""Every way to send a picture, and what of it reaches a worker."""

from __future__ import annotations

import base64
import json

from tests.helpers.fake_torchserve import FakeTorchServe
from tests.helpers.front import Front
from tests.helpers.http import post, post_form, post_json, put

PICTURE = b"\xff\xd8 not really a picture"


def test_every_way_to_send_a_picture(front: Front, torchserve: FakeTorchServe) -> None:
    url = f"{front.url}/predictions/weakseg"
    replies = [
        post(url, PICTURE, X_Weakseg_Classes="dog"),
        put(url, PICTURE, X_Weakseg_Classes="dog"),
        post(f"{url}?classes=dog", PICTURE, Content_Type="application/x-www-form-urlencoded"),  # curl --data-binary
        post_form(url, PICTURE, classes="dog"),
        post_json(url, {"image": base64.b64encode(PICTURE).decode(), "classes": "dog"}),
    ]
    assert [(reply.status, reply.body, reply.content_type) for reply in replies] == [(200, b"a mask", "image/png")] * 5
    assert [seen.image for seen in torchserve.seen] == [PICTURE] * 5
    assert [seen.head.options for seen in torchserve.seen] == [{"classes": "dog"}] * 5


def test_the_body_wins_over_the_query_string_and_that_over_headers(front: Front, torchserve: FakeTorchServe) -> None:
    url = f"{front.url}/predictions/weakseg?format=json&refine=crf"
    document = {"image": base64.b64encode(PICTURE).decode(), "format": "npz"}
    headers = {"X_Weakseg_Format": "mask", "X_Weakseg_Refine": "none", "X_Weakseg_Pick": "best"}
    assert post(url, json.dumps(document).encode(), Content_Type="application/json", **headers).status == 200
    assert torchserve.seen[0].head.options == {"format": "npz", "refine": "crf", "pick": "best"}
