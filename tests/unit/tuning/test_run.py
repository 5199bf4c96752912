"""Whole searches on two drawn photos; what is counted there is worked out by hand in tests/helpers/tiny_voc.py."""

import json
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers.colour_archive import colour_card, write_colour_archive
from tests.helpers.tiny_voc import write_voc
from weakseg.card import ModelCard
from weakseg.errors import DataError
from weakseg.evaluation.run import Order as EvaluationOrder
from weakseg.evaluation.run import run as evaluate
from weakseg.evaluation.workers import Workers
from weakseg.options import Refine
from weakseg.tuning import measure
from weakseg.tuning.run import Order, change_card, run

GRID = (
    "{threshold: [0.5], confidence: [7, 14], smooth_weight: [0, 3], colour_weight: [5], colour_rgb: [8], steps: [1, 2]}"
)


@pytest.fixture
def order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Order:
    monkeypatch.chdir(tmp_path)
    write_colour_archive(Path("store/colours.mar"))
    Path("grid.yaml").write_text(GRID)
    return Order(
        "threshold",
        Refine.NONE,
        voc=write_voc(Path("data")),
        split="val",
        model="colours",
        store=Path("store"),
        out=Path("out"),
        jobs=1,
        even_held_out=True,
    )


@pytest.fixture
def crf_order(order: Order) -> Order:
    return replace(order, command="crf", refine=Refine.CRF, grid=Path("grid.yaml"), rounds=1)


def say_nothing(_: str) -> None:
    pass


def test_a_threshold_by_hand(order: Order) -> None:
    """Red is 1 or 0, but for JPEG: nearly any threshold finds what known tags find at 0.5, IoU 0.75."""
    document = run(order, say_nothing)
    assert document["winner"]["miou"] == 0.75
    assert 0.7 < document["cross_validated_miou"] <= 0.75
    assert len(document["points"]) == 99
    assert document["over"] == ["cat"]
    tuned = yaml.safe_load(Path("out/tuned.yaml").read_text())["photo_task"]
    assert tuned["refine"] == "none"
    assert tuned["threshold"] == document["winner"]["point"]["threshold"]


def test_a_tuned_card_scores_in_an_evaluation_what_the_search_said(crf_order: Order) -> None:
    document = run(replace(crf_order, refine=Refine.GAUSSIAN_CRF, side_px=64), say_nothing)
    fields = yaml.safe_load(Path("out/tuned.yaml").read_text())
    assert fields["refine_side"] == 64
    write_colour_archive(Path("store/tuned.mar"), **fields)
    evaluation = EvaluationOrder(
        voc=crf_order.voc, split="val", model="tuned", store=Path("store"), out=Path("eval"), jobs=1
    )
    known = evaluate(evaluation, say_nothing)["known_tags"]
    assert known["options"]["refine"] == "gaussian+crf"
    assert known["miou"] == pytest.approx(document["winner"]["miou"], abs=1e-6)
    assert document["winner"]["median_ms"] > 0


def test_a_guided_filter_is_tuned_as_it_is_served(order: Order) -> None:
    Path("grid.yaml").write_text("{threshold: [0.3, 0.5], radius: [0.02, 0.04], eps: [0.001]}")
    guided = replace(order, command="guided", refine=Refine.GUIDED, grid=Path("grid.yaml"), rounds=1)
    document = run(guided, say_nothing)
    fields = yaml.safe_load(Path("out/tuned.yaml").read_text())
    point = document["winner"]["point"]
    assert fields["photo_task"]["guided"] == {"radius": point["radius"], "eps": 0.001}
    assert fields["photo_task"]["refine_thresholds"] == {"guided": point["threshold"]}
    write_colour_archive(Path("store/tuned.mar"), **fields)
    evaluation = EvaluationOrder(
        voc=order.voc, split="val", model="tuned", store=Path("store"), out=Path("eval"), jobs=1
    )
    assert evaluate(evaluation, say_nothing)["known_tags"]["miou"] == pytest.approx(
        document["winner"]["miou"], abs=1e-6
    )
    assert "--guided-radius" in Path("out/tune.md").read_text()


def test_tuned_fields_are_a_card_and_a_new_start(order: Order) -> None:
    run(order, say_nothing)
    fields = yaml.safe_load(Path("out/tuned.yaml").read_text())
    ModelCard.model_validate({**colour_card().model_dump(), **fields})
    again = run(replace(order, refine=Refine.GAUSSIAN, card=Path("out/tuned.yaml"), out=Path("both")), say_nothing)
    both = yaml.safe_load(Path("both/tuned.yaml").read_text())["photo_task"]
    assert both["threshold"] == fields["photo_task"]["threshold"]
    assert both["refine_thresholds"] == {"gaussian": again["winner"]["point"]["threshold"]}
    assert "--card out/tuned.yaml" in again["command"]


def test_a_search_that_was_killed_goes_on(crf_order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(crf_order, say_nothing)
    records = Path("out/trials.jsonl")
    lines = records.read_text().splitlines()
    records.write_text("\n".join([*lines[:3], lines[3][: len(lines[3]) // 2]]))  # killed while writing
    tried: list[str] = []
    try_points = measure.try_points

    def spy(*arguments: Any) -> Any:
        tried.append(arguments[2].image_id)
        return try_points(*arguments)

    monkeypatch.setattr(measure, "try_points", spy)
    monkeypatch.setattr(measure, "make_maps", None)  # not called again
    said: list[str] = []
    again = run(crf_order, said.append)
    assert len(tried) == len(lines) - 3
    assert said[0].startswith("2 trials are finished already")
    assert [row["miou"] for row in again["points"]] == [row["miou"] for row in whole["points"]]
    assert again["winner"]["point"] == whole["winner"]["point"]
    assert len(records.read_text().splitlines()) == len(lines)


def test_another_grid_in_the_same_folder_starts_anew_but_keeps_the_maps(
    crf_order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(crf_order, say_nothing)
    Path("grid.yaml").write_text(GRID.replace("[0.5]", "[0.6]"))
    monkeypatch.setattr(measure, "make_maps", None)
    said: list[str] = []
    run(crf_order, said.append)
    assert "held another search" in said[0]


def test_everything_that_goes_to_another_process_can_go_there(
    crf_order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    def map_pickled(_: Workers, work: Any, items: Sequence[Any]) -> Iterator[Any]:
        for item in items:
            yield pickle.loads(pickle.dumps(work))(pickle.loads(pickle.dumps(item)))

    alone = run(crf_order, say_nothing)
    monkeypatch.setattr(Workers, "map", map_pickled)
    elsewhere = run(replace(crf_order, restart=True, maps=Path("other")), say_nothing)
    assert [row["miou"] for row in elsewhere["points"]] == [row["miou"] for row in alone["points"]]


@pytest.mark.parametrize("split", ["val", "test"])
def test_it_does_not_choose_on_photos_that_results_are_reported_on(order: Order, split: str) -> None:
    with pytest.raises(DataError, match="--split train_official"):
        run(replace(order, split=split, even_held_out=False), say_nothing)


def test_a_card_file_may_change_a_part_of_a_task(tmp_path: Path) -> None:
    path = tmp_path / "card.yaml"
    path.write_text("photo_task: {crf: {steps: 3}}\n")
    before = colour_card(photo_task={"threshold": 0.6, "crf": {"confidence": 9}})
    after = change_card(before, path, 77).model_dump()
    assert after["photo_task"]["crf"].pop("steps") == 3
    assert after.pop("refine_side") == 77
    expected = before.model_dump(exclude={"refine_side": True, "photo_task": {"crf": {"steps"}}})
    assert after == expected


def test_a_card_file_that_is_none(order: Order) -> None:
    for text in ("{", "photo_task: {refine: magic}", "7"):
        Path("card.yaml").write_text(text)
        with pytest.raises(DataError, match=r"card\.yaml holds no fields of a model card"):
            run(replace(order, card=Path("card.yaml")), say_nothing)


def test_the_report_has_the_grid_the_winner_and_the_command(crf_order: Order) -> None:
    document = run(crf_order, say_nothing)
    page = Path("out/tune.md").read_text()
    command = (
        "weakseg tune crf --voc data --split val --model colours --refine crf --grid grid.yaml --rounds 1 --folds 5"
        " --out out"
    )
    assert document["command"] == command
    assert command in page
    assert "| threshold | confidence | colour_rgb |" in page
    assert page.count("| 0.5 | ") == len(document["points"]) + 1, "each point, and the winner above"
    assert "weakseg evaluate --voc DIR --model colours --refine crf --threshold 0.5 --crf-confidence" in page
    assert json.loads(Path("out/tune.json").read_text()) == document
    assert Path("out/tune.png").stat().st_size > 5000
    assert str(Path.cwd()) not in page + Path("out/tuned.yaml").read_text()
