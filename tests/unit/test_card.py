import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from tests.helpers.fakes import make_card, make_pixel_card
from weakseg.card import CARD_KEY, CrfSettings, GuidedSettings, ModelCard, Sides, load_card, parse_card
from weakseg.errors import ModelCardError, OptionValueError
from weakseg.options import CrfEngineName, Refine, parse_options

NAKED = {"classes": "none", "box": "1,1,9,9"}

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
        ("crf+grabcut", {"crf_engine": "exact"}, "crf"),
        ("crf", {"grabcut_engine": "opencv"}, "grabcut"),
        ("crf", {"guided_radius": 0.1}, "guided"),
        ("guided", {"sigma": 0.01}, "gaussian+guided"),
        ("gaussian+crf", {"guided_eps": 0.01, "iterations": 1}, "gaussian+guided+grabcut"),
    ],
)
def test_an_option_of_a_step_asks_for_that_step(of_card: str, sent: dict[str, Any], expected: str) -> None:
    assert make_card(photo_task={"refine": of_card}).settings(parse_options(sent)).refine == expected


def test_crf_options_replace_single_fields_of_the_cards() -> None:
    settings = make_card(**CRF_TASK).settings(parse_options({"crf_confidence": 20, "crf_steps": "7"}))
    assert settings.crf is not None
    assert (settings.crf.steps, settings.crf.confidence, settings.crf.colour_rgb) == (7, 20, 9)
    assert settings.sigma is None


def test_engines_and_the_guided_filter_are_the_cards_unless_they_are_sent() -> None:
    task = {"crf": {"engine": "exact"}, "grabcut_engine": "opencv", "guided": {"radius": 0.1, "eps": 0.01}}
    card = make_card(photo_task=task, box_task=task)
    assert make_card().settings(parse_options({"refine": "crf"})).crf == CrfSettings(engine=CrfEngineName.FAST)
    both = card.settings(parse_options({"refine": "crf+grabcut"}))
    assert both.crf is not None
    assert (both.crf.engine, both.grabcut_engine, both.guided) == ("exact", "opencv", None)
    sent = card.settings(parse_options({"refine": "crf+grabcut", "crf_engine": "fastest", "grabcut_engine": "fast"}))
    assert sent.crf is not None
    assert (sent.crf.engine, sent.grabcut_engine) == ("fastest", "fast")
    assert card.settings(parse_options({"guided_eps": 0.5})).guided == GuidedSettings(radius=0.1, eps=0.5)
    assert card.settings(parse_options(NAKED)).grabcut_engine == "opencv"


def test_a_guided_map_is_cut_like_a_map() -> None:
    card = make_card(
        photo_task={"threshold": 0.3, "refine_thresholds": {"guided": 0.4}, "grabcut_mode": (0.1, 0.3, 0.7)}
    )
    assert card.settings(parse_options({"refine": "guided"})).threshold == 0.4
    assert card.settings(parse_options({"refine": "gaussian+guided"})).threshold == 0.3
    cut = card.settings(parse_options({"refine": "guided+grabcut"}))
    assert (cut.levels, cut.threshold) == ((0.1, 0.3, 0.7), None)
    assert card.settings(parse_options({"refine": "guided+grabcut", "threshold": 0.5})).levels == (0.1, 0.5, 0.7)


def test_sides_of_steps_are_refine_side_unless_they_are_given() -> None:
    assert make_card(refine_side=320).sides == Sides(320, 320, 320)
    assert make_card(refine_side=320, crf_side=192).sides == Sides(320, 192, 320)
    assert make_card(refine_side=320, guided_side=640).sides == Sides(640, 320, 320)
    assert make_card(refine_side=320, grabcut_side=500).sides == Sides(320, 320, 500)


RANKING: dict[str, Any] = {
    "ranking": [{"refine": "crf+grabcut", "crf_engine": "exact"}, {"refine": "grabcut", "grabcut_engine": "opencv"}],
    "crf": {"engine": "fastest", "steps": 3},
    "refine_thresholds": {"crf": 0.6},
}


def test_auto_chooses_from_the_cards_ranking_and_none() -> None:
    card = make_card(photo_task=RANKING)
    options = parse_options({"budget_ms": 5})
    ranking = card.ranking(options)
    assert [settings.refine for settings in ranking] == ["crf+grabcut", "grabcut", "none"]
    assert (
        ranking[0]
        == card.settings(options)
        == card.settings(parse_options({"refine": "crf+grabcut", "crf_engine": "exact"}))
    )
    assert (ranking[0].threshold, ranking[1].grabcut_engine) == (0.6, "opencv")
    assert len(card.ranking(parse_options({"budget_ms": 5, "box": "0,0,2,2"}))) > 3, "the box task has its own"


def test_maps_that_are_smoothed_are_smoothed_by_auto_too() -> None:
    for refine, smooths in (("crf", False), ("gaussian", True)):
        card = make_card(photo_task={"refine": refine}, box_task=RANKING)
        ranking = card.ranking(parse_options({"refine": "auto"}))
        assert [settings.refine.smooths for settings in ranking[:-1]] == [smooths] * (len(ranking) - 1)
        assert ranking[-1].refine is Refine.NONE


def test_a_ranking_names_engines_of_steps_that_run() -> None:
    with pytest.raises(ValidationError, match="no step for this engine"):
        make_card(photo_task={"ranking": [{"refine": "guided", "crf_engine": "fast"}]})


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


@pytest.mark.parametrize(
    ("card", "max_side", "complaint"),
    [
        (make_pixel_card(), None, "preprocessing.max_side is missing"),
        (make_card(), 320, "preprocessing.max_side = 320 is of method pixels, not of cam"),
    ],
)
def test_photos_keep_their_proportions_with_method_pixels_alone(
    card: ModelCard, max_side: int | None, complaint: str
) -> None:
    document = yaml.safe_load(card.to_yaml())
    assert parse_card(document, where="here") == card
    document[CARD_KEY]["preprocessing"]["max_side"] = max_side
    with pytest.raises(ModelCardError, match=rf"here: weakseg\.preprocessing = .*{re.escape(complaint)}"):
        parse_card(document, where="here")


def test_a_yaml_without_a_card_says_what_to_do() -> None:
    for document in (None, [], {"minWorkers": 1}):
        with pytest.raises(ModelCardError, match="python -m export"):
            parse_card(document, where="here")
