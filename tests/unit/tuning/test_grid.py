from pathlib import Path

import pytest

from tests.helpers.fakes import make_card
from weakseg.errors import DataError
from weakseg.options import Options, Refine, parse_options
from weakseg.tuning.grid import (
    Axis,
    crf_axes,
    guided_axes,
    key_of,
    read_values,
    settings_of,
    show,
    starting_point,
    threshold_axes,
    tune_card,
)

CRF_NAMES = {"confidence", "smooth_sigma", "smooth_weight", "colour_sigma", "colour_rgb", "colour_weight", "steps"}


def names(axes: tuple[Axis, ...]) -> set[str]:
    return {axis.name for axis in axes}


def test_each_refinement_has_its_own_parameters() -> None:
    assert names(threshold_axes(Refine.NONE)) == {"threshold"}
    assert names(threshold_axes(Refine.GAUSSIAN)) == {"sigma", "threshold"}
    assert names(guided_axes(Refine.GUIDED)) == {"threshold", "radius", "eps"}
    assert names(guided_axes(Refine.GAUSSIAN_GUIDED)) == {"threshold", "radius", "eps", "sigma"}
    assert names(crf_axes(Refine.CRF)) == {"threshold"} | CRF_NAMES
    assert names(crf_axes(Refine.GAUSSIAN_CRF_GRABCUT)) == {"threshold", "sigma", "levels"} | CRF_NAMES


@pytest.mark.parametrize(
    "refine", [refine for refine in Refine if refine.has_crf or (refine.guides and not refine.cuts)]
)
def test_every_value_of_the_grid_is_one_that_a_card_and_a_caller_may_choose(refine: Refine) -> None:
    axes = crf_axes(refine) if refine.has_crf else guided_axes(refine)
    step = "crf" if refine.has_crf else "guided"
    start = starting_point(make_card(), refine, axes)
    for axis in axes:
        for value in axis.values:
            found = settings_of(make_card(), refine, {**start, axis.name: value})
            as_option = {"sigma": "sigma", "threshold": "threshold", "levels": "grabcut_mode"}.get(
                axis.name, f"{step}_{axis.name}"
            )
            sent = parse_options({"refine": refine, as_option: list(value) if isinstance(value, tuple) else value})
            assert found == tune_card(make_card(), refine, start).settings(sent)


@pytest.mark.parametrize(
    ("refine", "thresholds"),
    [
        (Refine.NONE, (0.2, {"crf": 0.5, "none": 0.2})),
        (Refine.GAUSSIAN, (0.3, {"crf": 0.5, "none": 0.7, "gaussian": 0.2})),
    ],
)
def test_a_threshold_goes_where_its_refinement_looks_for_it(
    refine: Refine, thresholds: tuple[float, dict[str, float]]
) -> None:
    card = make_card(photo_task={"refine_thresholds": {"crf": 0.5, "none": 0.7}})
    tuned = tune_card(card, refine, {"threshold": 0.2}).photo_task
    assert (tuned.threshold, tuned.refine_thresholds) == thresholds
    assert tuned.refine is refine
    assert settings_of(card, refine, {"threshold": 0.2}).threshold == 0.2


def test_all_else_in_the_card_stays() -> None:
    card = make_card(photo_task={"grabcut_mode": (0.1, 0.2, 0.3), "crf": {"steps": 4, "colour_rgb": 9}})
    tuned = tune_card(card, Refine.CRF, {"threshold": 0.5, "steps": 2})
    assert tuned.photo_task.grabcut_mode == (0.1, 0.2, 0.3)
    assert (tuned.photo_task.crf.steps, tuned.photo_task.crf.colour_rgb) == (2, 9)
    assert tuned.box_task == card.box_task
    assert tuned.settings(Options()).refine is Refine.CRF
    assert card.photo_task.crf.steps == 4


def test_the_search_starts_where_the_card_is_or_nearby() -> None:
    card = make_card(photo_task={"refine_thresholds": {"crf": 0.45}, "crf_levels": (0.1, 0.5, 0.88)})
    axes = (
        Axis("threshold", (0.1, 0.4, 0.6)),
        Axis("confidence", (3, 14)),
        Axis("levels", ((0, 0.5, 1), (0.1, 0.5, 0.9))),
    )
    expected = {"threshold": 0.4, "confidence": 14, "levels": (0.1, 0.5, 0.9)}
    assert starting_point(card, Refine.CRF_GRABCUT, axes) == expected
    assert show(expected) == "threshold 0.4, confidence 14, levels 0.1/0.5/0.9"
    assert key_of(expected) == key_of(dict(reversed(expected.items())))


def test_values_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text("confidence: [10, 7]\nlevels: [[0, 0.5, 1]]\n")
    axes = {axis.name: axis.values for axis in read_values(path, crf_axes(Refine.CRF_GRABCUT))}
    assert axes["confidence"] == (7, 10)
    assert axes["levels"] == ((0, 0.5, 1),)
    assert axes["steps"] == (1, 2, 3, 5, 7, 10)


@pytest.mark.parametrize("text", ["sigma: [0.1]", "confidence: []", "confidence: 7", "- 7", "{", "7"])
def test_a_file_that_is_no_grid(tmp_path: Path, text: str) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text(text)
    with pytest.raises(DataError, match=r"grid\.yaml"):
        read_values(path, crf_axes(Refine.CRF))


def test_a_value_that_no_card_may_have_names_its_field() -> None:
    with pytest.raises(DataError, match=r"crf\.confidence = 500"):
        tune_card(make_card(), Refine.CRF, {"threshold": 0.5, "confidence": 500})
