import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weakseg.errors import OptionValueError, RequestError, UnknownOptionError
from weakseg.options import OPTION_NAMES, GrabCutMode, Options, Refine, parse_options
from weakseg.types import Box


def test_text_from_a_form_and_values_from_json_mean_the_same() -> None:
    form = parse_options(
        {"classes": "dog, 151", "threshold": "0.25", "box": "1,2,30,40", "iterations": "3", "grabcut_mode": "F_PF"}
    )
    document = parse_options(
        {"classes": ["dog", 151], "threshold": 0.25, "box": [1, 2, 30, 40], "iterations": 3, "grabcut_mode": "f_pf"}
    )
    assert form == document
    assert form.classes == ("dog", "151")
    assert form.box == Box(1, 2, 30, 40)
    assert form.grabcut_mode is GrabCutMode.F_PF


def test_lists_may_come_as_json_text() -> None:
    assert parse_options({"classes": '["dog", "cat"]'}).classes == ("dog", "cat")
    assert parse_options({"box": "[1, 2, 3, 4]"}).box == Box(1, 2, 3, 4)
    assert parse_options({"grabcut_mode": [0.1, 0.3, 0.9]}).grabcut_mode == (0.1, 0.3, 0.9)


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"classes": []}, "classes"),
        ({"classes": "dog,,cat"}, "classes"),
        ({"classes": "auto,dog"}, "classes"),
        ({"classes": [True]}, "classes"),
        ({"classes": {"dog": 1}}, "classes"),
        ({"classes": [str(n) for n in range(21)]}, "classes"),
        ({"classes": "none"}, "classes"),
        ({"classes": "none", "box": "1,2,3,4", "refine": "none"}, "refine"),
        ({"classes": "[" * 5000}, "classes"),
        ({"box": "[" * 5000}, "box"),
        ({"grabcut_mode": [0, 0, 10**400]}, "grabcut_mode"),
        ({"classes": "none", "box": "1,2,3,4", "threshold": 0.3}, "threshold"),
        ({"classes": "none", "box": "1,2,3,4", "grabcut_mode": "f_pf"}, "grabcut_mode"),
        ({"pick": "worst"}, "pick"),
        ({"refine": "crf2"}, "refine"),
        ({"refine": 5}, "refine"),
        ({"grabcut_mode": "pf"}, "grabcut_mode"),
        ({"grabcut_mode": "0.5,0.3,0.9"}, "grabcut_mode"),
        ({"grabcut_mode": "0,0.3,1.1"}, "grabcut_mode"),
        ({"grabcut_mode": "0,nan,1"}, "grabcut_mode"),
        ({"grabcut_mode": "0,0.3,1", "threshold": "0.3"}, "threshold"),
        ({"grabcut_mode": "pf_pb", "refine": "none"}, "grabcut_mode"),
        ({"iterations": 2, "refine": "none"}, "iterations"),
        ({"iterations": "0"}, "iterations"),
        ({"iterations": "1.5"}, "iterations"),
        ({"iterations": True}, "iterations"),
        ({"threshold": "1.01"}, "threshold"),
        ({"threshold": "nan"}, "threshold"),
        ({"threshold": "half"}, "threshold"),
        ({"threshold": False}, "threshold"),
        ({"box": "1,2,3"}, "box"),
        ({"box": "3,2,1,4"}, "box"),
        ({"box": "1,2,inf,4"}, "box"),
        ({"box": "a,b,c,d"}, "box"),
        ({"box": "[1,2"}, "box"),
        ({"format": "gif"}, "format"),
    ],
)
def test_a_wrong_value_names_its_field_and_a_remedy(sent: dict[str, Any], field: str) -> None:
    with pytest.raises(OptionValueError) as caught:
        parse_options(sent)
    assert caught.value.field == field
    assert caught.value.message
    assert caught.value.remedy.startswith("Send")


def test_an_unknown_option_gets_the_list() -> None:
    with pytest.raises(UnknownOptionError, match="threshold") as caught:
        parse_options({"treshold": "0.3"})
    assert caught.value.field == "treshold"


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(OPTION_NAMES) | st.text(max_size=10), _VALUES, max_size=4))
def test_any_input_gives_options_or_a_request_error(sent: dict[str, Any]) -> None:
    try:
        options = parse_options(sent)
    except RequestError as error:
        assert error.field
        assert error.remedy
        assert len(error.message) < 400
    else:
        assert isinstance(options, Options)


def test_the_papers_modes() -> None:
    """Section 5.1, with delta = 0.01."""
    assert GrabCutMode.PF_PB.levels(0.3) == (0, 0.3, 1)
    assert GrabCutMode.F_PF.levels(0.7) == (0, 0.01, 0.7)
    assert GrabCutMode.F_PB.levels(0.5) == (0, 0.5, 0.51)
    assert GrabCutMode.F_PB.levels(1.0) == (0, 1, 1)
    assert GrabCutMode.F_PF.levels(0.0) == (0, 0, 0)


def test_every_option_explains_itself() -> None:
    for name, info in Options.model_fields.items():
        assert info.description, name
        assert isinstance(info.json_schema_extra, dict)
        assert str(info.json_schema_extra["remedy"]).startswith("Send"), name


def test_every_order_of_steps_is_a_refinement() -> None:
    """But a guided filter and a CRF exclude each other."""
    found = set()
    for smooths, soft, cuts in itertools.product((False, True), (None, "guided", "crf"), (False, True)):
        steps = {"smooths": smooths, "guides": soft == "guided", "has_crf": soft == "crf", "cuts": cuts}
        refine = Refine.of(**steps)
        assert {name: getattr(refine, name) for name in steps} == steps
        found.add(refine)
    assert found == set(Refine)


@pytest.mark.parametrize("sent", [{"refine": "AUTO"}, {"budget_ms": "12.5"}, {"refine": "auto", "budget_ms": 12.5}])
def test_a_budget_alone_asks_for_auto(sent: dict[str, Any]) -> None:
    options = parse_options(sent)
    assert options.is_auto
    assert options.budget_ms == (12.5 if "budget_ms" in sent else None)
    assert not parse_options({"refine": "crf"}).is_auto
    assert not Options().is_auto


@pytest.mark.parametrize("sent", ["gaussian+crf", " Gaussian+CRF ", "gaussian + crf", "gaussian crf"])
def test_a_plus_may_arrive_as_a_space(sent: str) -> None:
    assert parse_options({"refine": sent}).refine is Refine.GAUSSIAN_CRF


@pytest.mark.parametrize(
    ("raw", "field", "remedy"),
    [
        ({"refine": "crf+gaussian"}, "refine", "gaussian+crf"),
        ({"refine": "none", "sigma": 0.01}, "sigma", "refine=gaussian"),
        ({"refine": "gaussian", "crf_steps": 3}, "crf_steps", "refine=crf"),
        ({"refine": "crf", "iterations": 3}, "iterations", "refine=grabcut"),
        ({"sigma": 0}, "sigma", "above 0"),
        ({"crf_smooth_sigma": 0.0019}, "crf_smooth_sigma", "0.002"),
        ({"crf_colour_sigma": 0.0049}, "crf_colour_sigma", "0.005"),
        ({"crf_colour_rgb": 0.9}, "crf_colour_rgb", "1 to 255"),
        ({"crf_confidence": "nan"}, "crf_confidence", "above 0"),
        ({"crf_steps": True}, "crf_steps", "1 to 50"),
        ({"subtract_classes": 21}, "subtract_classes", "0 to 20"),
        ({"classes": "none", "box": "0,0,4,4", "crf_steps": 3}, "crf_steps", "leave it out"),
        ({"classes": "none", "box": "0,0,4,4", "guided_eps": 0.1}, "guided_eps", "leave it out"),
        ({"classes": "none", "box": "0,0,4,4", "budget_ms": 9}, "budget_ms", "leave it out"),
        ({"classes": "none", "box": "0,0,4,4", "refine": "auto"}, "refine", "refine=grabcut"),
        ({"refine": "guided+crf"}, "refine", "guided+grabcut"),
        ({"refine": "crf", "guided_radius": 0.1}, "guided_radius", "refine=guided"),
        ({"refine": "guided", "crf_engine": "exact"}, "crf_engine", "refine=crf"),
        ({"refine": "crf", "grabcut_engine": "opencv"}, "grabcut_engine", "refine=grabcut"),
        ({"guided_radius": 0.1, "crf_steps": 3}, "guided_radius", "one of the two"),
        ({"guided_radius": 0}, "guided_radius", "above 0"),
        ({"guided_eps": 1.1}, "guided_eps", "1 at most"),
        ({"crf_engine": "slow"}, "crf_engine", "exact, fast, fastest, pydensecrf"),
        ({"grabcut_engine": 3}, "grabcut_engine", "fast, opencv"),
        ({"budget_ms": 0}, "budget_ms", "above 0"),
        ({"budget_ms": "soon"}, "budget_ms", "above 0"),
        ({"budget_ms": 10, "refine": "crf"}, "budget_ms", "refine=auto"),
        ({"budget_ms": 10, "crf_engine": "fast"}, "crf_engine", "leave it out"),
        ({"refine": "auto", "threshold": 0.4}, "threshold", "leave it out"),
        ({"refine": "auto", "iterations": 1}, "iterations", "leave it out"),
        ({"max_side": 31}, "max_side", "32 to 1024"),
        ({"max_side": 500.5}, "max_side", "whole number"),
        ({"max_side": True}, "max_side", "whole number"),
        ({"max_side": 1025}, "max_side", "tile=true"),
        ({"max_side": 1025, "tile": "false"}, "max_side", "1024 at most"),
        ({"max_side": 4097, "tile": True}, "max_side", "4096"),
        ({"tile": "perhaps"}, "tile", "true or false"),
        ({"tile": 2}, "tile", "true or false"),
        ({"classes": "none", "box": "0,0,4,4", "max_side": 64}, "max_side", "leave it out"),
        ({"classes": "none", "box": "0,0,4,4", "tile": "true"}, "tile", "leave it out"),
    ],
)
def test_options_of_refinement_are_checked(raw: dict[str, object], field: str, remedy: str) -> None:
    with pytest.raises(OptionValueError) as caught:
        parse_options(raw)
    assert caught.value.field == field
    assert remedy in caught.value.remedy


@pytest.mark.parametrize("sent", [True, "true", " True ", 1, "1"])
def test_tiles_allow_a_longer_side(sent: object) -> None:
    options = parse_options({"tile": sent, "max_side": "4096"})
    assert (options.tile, options.max_side) == (True, 4096)
