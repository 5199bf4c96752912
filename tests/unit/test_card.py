from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from tests.helpers.fakes import make_card
from weakseg.card import CARD_KEY, load_card, parse_card
from weakseg.errors import ModelCardError, OptionValueError
from weakseg.options import Refine, parse_options

TASKS: dict[str, Any] = {
    "photo_task": {"grabcut_mode": (0.1, 0.3, 0.8), "iterations": 2, "threshold": 0.35},
    "box_task": {"grabcut_mode": "f_pf", "mode_thresholds": {"pf_pb": 0.1, "f_pf": 0.6, "f_pb": 0.2}},
}


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({}, ("grabcut", (0.1, 0.3, 0.8), 2, None)),
        ({"threshold": 0.5}, ("grabcut", (0.1, 0.5, 0.8), 2, None)),
        ({"threshold": 0.9}, ("grabcut", (0.1, 0.9, 0.9), 2, None)),
        ({"threshold": 0.0}, ("grabcut", (0.0, 0.0, 0.8), 2, None)),
        ({"refine": "none"}, ("none", None, None, 0.35)),
        ({"refine": "none", "threshold": 0.0}, ("none", None, None, 0.0)),
        ({"grabcut_mode": "pf_pb"}, ("grabcut", (0, 0.3, 1), 2, 0.3)),
        ({"grabcut_mode": "pf_pb", "threshold": 0.0}, ("grabcut", (0, 0, 1), 2, 0.0)),
        ({"box": "1,1,9,9"}, ("grabcut", (0, 0.01, 0.6), 1, 0.6)),
        ({"box": "1,1,9,9", "threshold": 0.4}, ("grabcut", (0, 0.01, 0.4), 1, 0.4)),
        ({"box": "1,1,9,9", "classes": "none", "iterations": 4}, ("grabcut", None, 4, None)),
    ],
)
def test_settings_in_force(sent: dict[str, Any], expected: tuple[Any, ...]) -> None:
    settings = make_card(**TASKS).settings(parse_options(sent))
    assert (settings.refine, settings.levels, settings.iterations, settings.threshold) == expected


CRF_TASK: dict[str, Any] = {
    "photo_task": {
        "refine": "crf",
        "threshold": 0.3,
        "refine_thresholds": {"crf": 0.4, "gaussian+crf": 0.5},
        "crf": {"steps": 5, "colour_rgb": 9},
        "crf_levels": (0.2, 0.5, 0.8),
        "grabcut_mode": (0.1, 0.3, 0.7),
    }
}


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({}, ("crf", None, 0.4)),
        ({"refine": "none"}, ("none", None, 0.3)),
        ({"refine": "gaussian"}, ("gaussian", None, 0.3)),
        ({"sigma": 0.01}, ("gaussian+crf", None, 0.5)),
        ({"threshold": 0.6}, ("crf", None, 0.6)),
        ({"iterations": 1}, ("grabcut", (0.1, 0.3, 0.7), None)),
        ({"grabcut_mode": "pf_pb", "threshold": 0.35}, ("grabcut", (0, 0.35, 1), 0.35)),
        ({"grabcut_mode": "0,0.1,1", "sigma": 0.01}, ("gaussian+grabcut", (0, 0.1, 1), None)),
        ({"iterations": 1, "crf_steps": 2, "threshold": 0.6}, ("crf+grabcut", (0.2, 0.5, 0.8), 0.6)),
        ({"refine": "crf+grabcut", "threshold": 0.6}, ("crf+grabcut", (0.2, 0.5, 0.8), 0.6)),
        ({"refine": "crf+grabcut", "grabcut_mode": "f_pb"}, ("crf+grabcut", (0, 0.5, 0.51), 0.4)),
        ({"refine": "gaussian+crf+grabcut", "grabcut_mode": "0,0.1,1"}, ("gaussian+crf+grabcut", (0, 0.1, 1), 0.5)),
        ({"refine": "grabcut"}, ("grabcut", (0.1, 0.3, 0.7), None)),
    ],
)
def test_threshold_and_levels_of_each_refinement(sent: dict[str, Any], expected: tuple[Any, ...]) -> None:
    settings = make_card(**CRF_TASK).settings(parse_options(sent))
    assert (settings.refine, settings.levels, settings.threshold) == expected


@pytest.mark.parametrize(
    ("of_card", "sent", "expected"),
    [
        ("grabcut", {"crf_steps": 3}, "crf"),
        ("grabcut", {"sigma": 0.01}, "gaussian+grabcut"),
        ("gaussian+crf", {"iterations": 2}, "gaussian+grabcut"),
        ("crf+grabcut", {"crf_colour_rgb": 9}, "crf"),
        ("crf+grabcut", {"threshold": 0.4}, "crf+grabcut"),
    ],
)
def test_an_option_of_a_step_asks_for_that_step(of_card: str, sent: dict[str, Any], expected: str) -> None:
    assert make_card(photo_task={"refine": of_card}).settings(parse_options(sent)).refine == expected


def test_crf_options_replace_single_fields_of_the_cards() -> None:
    settings = make_card(**CRF_TASK).settings(parse_options({"crf_confidence": 20, "crf_steps": "7"}))
    assert settings.crf is not None
    assert (settings.crf.steps, settings.crf.confidence, settings.crf.colour_rgb) == (7, 20, 9)
    assert settings.sigma is None


def test_only_a_model_that_subtracts_classes_takes_their_number() -> None:
    with pytest.raises(OptionValueError, match="no classes are subtracted"):
        make_card().settings(parse_options({"subtract_classes": 1}))
    card = make_card(method="dcsm", subtract_classes=1)
    assert card.settings(parse_options({})).subtract_classes == 1
    assert card.settings(parse_options({"subtract_classes": 0})).subtract_classes == 0
    with pytest.raises(OptionValueError, match="20 classes cannot be subtracted from one of") as caught:
        card.settings(parse_options({"subtract_classes": 20}))
    assert caught.value.field == "subtract_classes"


def test_a_partial_table_of_thresholds_is_completed_by_the_papers() -> None:
    card = make_card(photo_task={"mode_thresholds": {"pf_pb": 0.2}})
    assert card.settings(parse_options({"grabcut_mode": "pf_pb"})).levels == (0, 0.2, 1)
    assert card.settings(parse_options({"grabcut_mode": "f_pf"})).levels == (0, 0.01, 0.7)


def test_levels_of_a_card_ascend() -> None:
    with pytest.raises(ValidationError, match="not ascending"):
        make_card(photo_task={"grabcut_mode": (0.9, 0.5, 0.1)})


def test_asking_for_grabcut_details_implies_grabcut() -> None:
    card = make_card(photo_task={"refine": "none"})
    assert card.settings(parse_options({})).refine is Refine.NONE
    assert card.settings(parse_options({"iterations": 2})).refine is Refine.GRABCUT
    assert card.settings(parse_options({"grabcut_mode": "f_pb"})).refine is Refine.GRABCUT


def test_yaml_round_trip_beside_the_servers_own_keys(tmp_path: Path) -> None:
    card = make_card(**TASKS)
    path = tmp_path / "model-config.yaml"
    path.write_text(card.to_yaml({"batchSize": 4}), encoding="utf-8")
    assert load_card(path) == card
    assert yaml.safe_load(path.read_text(encoding="utf-8"))["batchSize"] == 4


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"runtime": "tensorrt"}, "weakseg.runtime"),
        ({"threads": 0}, "weakseg.threads"),
        ({"colour": 1}, "weakseg.colour"),
        ({"name": "../up"}, "weakseg.name"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], named: str) -> None:
    document = yaml.safe_load(make_card().to_yaml())
    document[CARD_KEY] |= change
    with pytest.raises(ModelCardError, match=named):
        parse_card(document, where="here")


def test_a_yaml_without_a_card_says_what_to_do() -> None:
    for document in (None, [], {"minWorkers": 1}):
        with pytest.raises(ModelCardError, match="python -m export"):
            parse_card(document, where="here")
