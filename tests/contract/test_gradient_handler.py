"""GradientHandler as TorchServe loads and calls it, with a DCSM model."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.build import build_archive
from tests.contract.test_cam_handler import Service, as_json, ask, form, load_service, raw, request
from tests.helpers.fakes import CLASSES
from tests.helpers.photos import cat_photo as photo
from weakseg.attribution.dcsm import DcsmSettings
from weakseg.models.classifier import load_classifier

COMPETING = 5  # cat, dog, and the three classes in no group


@pytest.fixture(scope="module")
def dcsm_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network with random weights; two rivals unless a request says otherwise."""
    folder = tmp_path_factory.mktemp("archives")
    (folder / "classes.txt").write_text("\n".join(CLASSES), encoding="utf-8")
    built = build_archive(
        load_classifier("demo", "random", classes=folder / "classes.txt"),
        name="tiny_dcsm",
        directory=folder,
        groups={"cat": [0, 1], "dog": [2]},
        settings=DcsmSettings(),
        hw=(64, 96),
        card_fields={"subtract_classes": 2, "photo_task": {"refine": "none", "threshold": 0.97}},
    )
    return built.path


@pytest.fixture(scope="module")
def service(dcsm_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with load_service(dcsm_archive, "gradient_handler", tmp_path_factory.mktemp("store")) as loaded:
        yield loaded


def test_maps_are_answered_with_the_method_and_the_options_in_force(service: Service) -> None:
    plain, none, many = ask(
        service,
        form(photo(), classes="tabby", format="json"),
        form(photo(), classes="tabby", format="json", subtract_classes="0"),
        as_json(photo(), classes=["tabby", "dog"], format="json", subtract_classes=4),
    )
    documents = [json.loads(reply.body) for reply in (plain, none, many)]
    assert [reply.status for reply in (plain, none, many)] == [200] * 3
    assert [document["options"]["subtract_classes"] for document in documents] == [2, 0, 4]
    assert {document["method"] for document in documents} == {"dcsm"}
    assert [len(document["segments"]) for document in documents] == [1, 1, 2]


@pytest.mark.parametrize("wrong", ["-1", "2.5", "many", str(COMPETING), "21"])
def test_a_wrong_number_of_classes_to_subtract_is_a_400_and_spoils_no_neighbour(service: Service, wrong: str) -> None:
    replies = ask(service, raw(photo()), form(photo(), subtract_classes=wrong), raw(photo(150, 100)))
    assert [reply.status for reply in replies] == [200, 400, 200]
    assert (replies[1].error["code"], replies[1].error["field"]) == ("option_invalid", "subtract_classes")
    assert "whole number from 0 to" in replies[1].error["remedy"]


def test_batched_answers_equal_single_ones(service: Service) -> None:
    requests = [
        raw(photo(120, 80), X_Weakseg_Classes="tabby"),
        form(photo(64, 110, "PNG"), classes="cat,dog", subtract_classes="4"),
        form(photo(90, 90), classes="beagle", subtract_classes="0"),
        raw(photo(333, 222), X_Weakseg_Classes="table lamp"),
    ]
    batched, alone = ask(service, *requests), [ask(service, single)[0] for single in requests]
    for one, other in zip(batched, alone, strict=True):
        masks = [np.array(Image.open(io.BytesIO(reply.body))) for reply in (one, other)]
        assert np.ptp(masks[0]) > 0
        assert np.mean(masks[0] != masks[1]) < 0.002, "but for pixels that rounding moves over the threshold"


def test_custom_metadata_says_how_maps_are_made(service: Service) -> None:
    (reply,) = ask(service, request({}, describe="True"))
    told = json.loads(reply.body)
    assert (told["method"], told["subtract_classes"]) == ("dcsm", 2)
    assert told["graph"]["layers"], "the layers that were chosen"
    assert told["options"]["subtract_classes"]


def test_a_handler_refuses_the_archive_of_another_family(tiny_archive: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(Exception, match=r"GradientHandler serves saliency, .* not cam"),
        load_service(tiny_archive, "gradient_handler", tmp_path),
    ):
        pass
