"""The papers' tables from small results documents."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks.paper_tables import (
    app,
    make_joint_table,
    make_saliency_tables,
    make_subtraction_tables,
    read_results,
)
from weakseg.errors import DataError

RUN = CliRunner()


def tasks(value: float, refine: str, **options: Any) -> dict[str, Any]:
    scores = {"precision": value, "recall": value + 0.1, "f1": value + 0.2, "miou": value}
    known = {"options": {"refine": refine, **options}, **scores}
    return {"known_tags": known, "predicted_tags": {**known, "miou": value / 2}}


def document(split: str, **changes: Any) -> dict[str, Any]:
    head = {"model": "m", "version": "1.0", "weights_source": "w", "images": 3, "split": split, "command": "weakseg"}
    return {**head, **tasks(0.5, "none"), **changes}


def test_train_and_test_side_by_side_with_the_papers_figures() -> None:
    train = document("train", refines={"gaussian": tasks(0.6, "gaussian")})
    test = document("val", refines={"gaussian": tasks(0.25, "gaussian"), "gaussian+crf": tasks(0.125, "gaussian+crf")})
    (table,) = make_saliency_tables([test, train], "val")
    assert [row["Technique"] for row in table.rows] == [
        "Raw Saliency Map",
        "Saliency Map + Gaussian Denoising",
        "Saliency Map + Gaussian Denoising + Tuned CRF",
    ]
    assert list(table.rows[1].values())[1:] == [
        *("0.60 (0.48)", "0.25 (0.53)"),
        *("0.70 (0.75)", "0.35 (0.69)"),
        *("0.80 (0.59)", "0.45 (0.60)"),
    ]
    assert table.rows[2]["F1 (Train)"] == "– (0.41)", "not measured on train"
    assert "| Technique" in table.to_markdown()


def test_a_threshold_of_its_own_comes_first() -> None:
    (table,) = make_saliency_tables([document("val", refines={"none@0.1": tasks(0.25, "none")})], "val")
    assert table.rows[0]["Precision (Test)"] == "0.25 (0.53)"


def test_one_table_for_each_model() -> None:
    tables = make_saliency_tables([document("val"), document("val", model="other")], "val")
    assert [table.title.split(":")[0] for table in tables] == ["m 1.0", "other 1.0"]


def test_joint_networks_stand_beside_the_papers_joint_network() -> None:
    refines = {"gaussian@0.2": tasks(0.25, "gaussian"), "crf": tasks(0.125, "crf")}
    (table,) = make_saliency_tables([document("val", method="joint", refines=refines)], "val")
    assert [row["Technique"] for row in table.rows] == [
        "Joint Training Network",
        "Joint Training Network + Gaussian Denoising",
        "Joint Training Network + Tuned CRF",
    ]
    assert list(table.rows[1].values())[1:] == [
        *("– (0.58)", "0.25 (0.61)"),
        *("– (0.54)", "0.35 (0.55)"),
        *("– (0.56)", "0.45 (0.58)"),
    ]
    assert table.rows[2]["F1 (Test)"] == "0.33 (–)", "the paper has none"


def test_one_table_of_saliency_and_joint_networks_technique_by_technique() -> None:
    gaussian = {"gaussian": tasks(0.25, "gaussian")}
    runs = [
        document("val", model="average", method="joint", refines=gaussian),
        document("train", model="average", method="joint"),
        document("val", model="maximum", method="joint", refines=gaussian),
        document("val", method="saliency", refines=gaussian),
    ]
    table = make_joint_table(runs, "val")
    assert [(row["Model"], row["Technique"]) for row in table.rows] == [
        ("m 1.0", "Raw Saliency Map"),
        ("m 1.0", "Saliency Map + Gaussian Denoising"),
        ("average 1.0", "Joint Training Network"),
        ("maximum 1.0", "Joint Training Network"),
        ("average 1.0", "Joint Training Network + Gaussian Denoising"),
        ("maximum 1.0", "Joint Training Network + Gaussian Denoising"),
    ]
    assert table.rows[2]["Precision (Train)"] == "0.50 (0.55)"
    assert table.title == "Saliency and joint networks: 3 photos of train, 3 photos of val; 3 photos of val"


def test_subtraction_by_number_of_classes() -> None:
    runs = [
        document("val", flags={"subtract_classes": "3"}, refines={"crf": tasks(0.442, "crf")}),
        document("val", **tasks(0.4, "none", subtract_classes=0)),
    ]
    (table,) = make_subtraction_tables(runs)
    rows = {(row["refine"], row["tags"]): row for row in table.rows}
    assert rows["none", "known"]["N = 0"] == "40.0"
    assert rows["none", "predicted"]["N = 3"] == "25.0"
    assert rows["crf", "known"]["N = 3"] == "44.2"
    assert rows["crf", "known"]["N = 1"] == "–"
    assert rows["slides: with CRF", "predicted"]["N = 4"] == "44.2"
    assert rows["slides: without CRF", "predicted"]["N = 3"] == "40.5"
    assert len({tuple(row) for row in table.rows}) == 1, "every row has the same columns"


def test_a_run_that_subtracts_nothing_is_named() -> None:
    with pytest.raises(DataError, match="no option subtract_classes"):
        make_subtraction_tables([document("val")])


def test_a_file_that_holds_something_else(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(DataError, match=r"results\.json holds no results of `weakseg evaluate`"):
        read_results([tmp_path / "results.json"])


def test_the_command_prints_and_writes(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps(document("val", flags={"subtract_classes": "2"})))
    result = RUN.invoke(app, ["subtraction", str(path), "--out", str(tmp_path / "tables.md")])
    assert result.exit_code == 0, result.output
    assert "N = 2" in (tmp_path / "tables.md").read_text()
    assert RUN.invoke(app, ["saliency", str(path)]).exit_code == 0
    assert "Raw Saliency Map" in RUN.invoke(app, ["joint", str(path)]).output


def test_what_is_wrong_is_said_without_a_traceback(tmp_path: Path) -> None:
    result = RUN.invoke(app, ["saliency", str(tmp_path / "none.json")])
    assert result.exit_code == 2
    assert "none.json holds no results" in result.stderr
