"""PixelHandler as TorchServe loads and calls it, with a network whose labels are the colours of the photo."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.contract.test_cam_handler import Reply, Service, as_json, ask, form, load_service, raw, request
from tests.helpers.photos import BLUE
from tests.helpers.photos import three_stripes as picture
from tests.helpers.pixel_checkpoints import build_odds_archive


@pytest.fixture(scope="module")
def pixel_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_odds_archive(tmp_path_factory.mktemp("archives"), name="colours")


@pytest.fixture(scope="module")
def service(pixel_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with load_service(pixel_archive, "pixel_handler", tmp_path_factory.mktemp("store")) as loaded:
        yield loaded


def mask_of(reply: Reply) -> NDArray[np.uint8]:
    assert (reply.status, reply.content_type) == (200, "image/png"), reply.body
    return np.array(Image.open(io.BytesIO(reply.body)))


def stripes_of(mask: NDArray[np.uint8]) -> list[int]:
    """The value in the middle of each stripe."""
    height, width = mask.shape
    return [int(mask[height // 2, width * (2 * place + 1) // 6]) for place in range(3)]


def test_every_pixel_gets_its_most_probable_label_at_the_photos_own_size(service: Service) -> None:
    (reply,) = ask(service, raw(picture(), X_Weakseg_Classes="red,green"))
    mask = mask_of(reply)
    assert mask.shape == (80, 120)
    assert stripes_of(mask) == [1, 0, 2]
    assert (reply.headers["X-Weakseg-Model"], reply.headers["X-Weakseg-Version"]) == ("colours", "3.2")
    assert json.loads(reply.headers["X-Weakseg-Options"])["refine"] == "none"


def test_auto_answers_with_what_is_there(service: Service) -> None:
    both, one = ask(
        service, form(picture(), format="json"), form(picture(90, 66, right=BLUE), format="json", classes="auto")
    )
    assert {segment["label"] for segment in json.loads(both.body)["segments"]} == {"red", "green"}
    document = json.loads(one.body)
    assert [segment["label"] for segment in document["segments"]] == ["red"]
    assert document["segments"][0]["score"] == pytest.approx(0.6, abs=1e-4)
    assert document["method"] == "pixels"
    assert document["image"] == {"width": 90, "height": 66}


def test_the_three_ways_to_send_the_same_request(service: Service) -> None:
    replies = ask(
        service,
        raw(picture(), X_Weakseg_Classes="red", X_Weakseg_Threshold="0.55"),
        form(picture(), classes="red", threshold="0.55"),
        as_json(picture(), classes=["red"], threshold=0.55),
    )
    assert len({reply.body for reply in replies}) == 1
    assert stripes_of(mask_of(replies[0])) == [1, 0, 0]


@pytest.mark.parametrize("refine", ["gaussian", "crf", "guided", "grabcut", "crf+grabcut"])
def test_every_refinement_takes_probabilities(service: Service, refine: str) -> None:
    (reply,) = ask(service, form(picture(), classes="red", refine=refine))
    assert stripes_of(mask_of(reply)) == [1, 0, 0]


@pytest.mark.parametrize("kind", ["cutout", "overlay", "heatmap"])
def test_every_kind_of_picture(service: Service, kind: str) -> None:
    (reply,) = ask(service, form(picture(150, 44), classes="red", format=kind))
    assert (reply.status, Image.open(io.BytesIO(reply.body)).size) == (200, (150, 44))


def test_maps_are_probabilities(service: Service) -> None:
    (reply,) = ask(service, form(picture(), classes="red,green", format="npz"))
    maps = np.load(io.BytesIO(reply.body))["maps"]
    assert maps.shape == (2, 80, 120)
    np.testing.assert_allclose(maps[:, 40, [20, 60, 100]], [[0.6, 1 / 6, 0.125], [0.2, 1 / 6, 0.75]], atol=2e-3)


def test_a_bad_request_in_the_middle_spoils_no_neighbour(service: Service) -> None:
    replies = ask(
        service,
        raw(picture()),
        form(picture(), classes="blue"),
        form(picture(), classes="red", subtract_classes="1"),
        raw(b"no picture at all"),
        raw(picture(60, 90)),
    )
    assert [reply.status for reply in replies] == [200, 400, 400, 415, 200]
    assert (replies[1].error["code"], replies[1].error["field"]) == ("class_unknown", "classes")
    assert "red, green" in replies[1].error["remedy"], "a model without the class says which it has"
    assert replies[2].error["field"] == "subtract_classes"


def test_batched_answers_equal_single_ones(service: Service) -> None:
    requests = [
        raw(picture(120, 80)),
        form(picture(66, 110), classes="green,red"),
        form(picture(300, 91), classes="red", box="5,5,200,80"),
        raw(picture(120, 80, right=BLUE), X_Weakseg_Classes="red"),
    ]
    batched = [reply.body for reply in ask(service, *requests)]
    assert batched == [ask(service, single)[0].body for single in requests]


def test_custom_metadata_says_how_large_the_input_may_be(service: Service) -> None:
    (reply,) = ask(service, request({}, describe="True"))
    told = json.loads(reply.body)
    assert (told["method"], told["classes"], told["preprocessing"]["max_side"]) == ("pixels", ["red", "green"], 128)
    assert told["graph"] == {"flip": False, "window_px": 9}


def test_a_handler_refuses_the_archive_of_another_family(pixel_archive: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(Exception, match=r"CamHandler serves cam, joint, not pixels"),
        load_service(pixel_archive, "cam_handler", tmp_path),
    ):
        pass
