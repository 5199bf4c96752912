"""The table of pixel networks: its rows worked out by hand, and one from run folders of untrained networks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer import Exit

from benchmarks.pixel_cost import Cost
from benchmarks.pixel_latency import Latency
from benchmarks.pixel_networks import main
from benchmarks.pixel_table import OVER, Measured, Quality, make_row, read_quality, say_bridge, score_records
from benchmarks.report import Table
from benchmarks.runs import Run
from tests.helpers.drawn_masks import pixel_recipe
from tests.helpers.finished_runs import write_run
from tests.helpers.tiny_voc import CAT, HORSE, write_voc
from training.experiments.plan import Row
from weakseg.archive import open_archive
from weakseg.errors import DataError
from weakseg.evaluation.metrics import MaskScores
from weakseg.evaluation.voc import VOC_CLASSES

PERSON, SOFA = 15, 18
PLAN = """
title: Two networks
recipe: hair
rows:
  - {name: full, says: the network}
  - {name: later, says: not trained yet}
  - {name: bridge, says: "the same, from weak masks"}
"""


def write_records(path: Path) -> Path:
    """One photo of 100 pixels: half of a cat is found; a person is found; of a sofa a part is taken for a person."""
    entries = [[0, 0, 40], [CAT, CAT, 10], [CAT, 0, 10], [PERSON, PERSON, 20], [SOFA, PERSON, 4], [SOFA, 0, 16]]
    crf = [[0, 0, 40], [CAT, CAT, 20], [PERSON, PERSON, 20], [SOFA, 0, 20]]
    record = {"image": "a", "confusions": {"in_force": entries, "refine crf": crf}}
    path.write_text("\n".join([json.dumps({"fingerprint": "x"}), json.dumps(record)]) + "\n", encoding="utf-8")
    return path


def test_quality_by_hand(tmp_path: Path) -> None:
    quality = read_quality(write_records(tmp_path / "records.jsonl"))
    # The sofa is background: 56 of it found, 4 taken for a person, 10 false alarms.
    assert quality.all_classes.mean_iu == pytest.approx((56 / 70 + 10 / 20 + 20 / 24) / 3, abs=1e-6)
    assert quality.all_classes.pixel_accuracy == pytest.approx(86 / 100)
    # Without persons these 24 pixels are background too, true or not.
    assert quality.animals.mean_iu == pytest.approx((80 / 90 + 10 / 20) / 2, abs=1e-6)
    assert quality.animals.pixel_accuracy == pytest.approx(90 / 100)
    assert quality.all_crf.mean_iu == quality.animals_crf.mean_iu == 1
    assert [VOC_CLASSES.index(name) + 1 for name in OVER] == [8, 10, 12, HORSE, PERSON, 17]


def test_records_of_another_evaluation_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no counts of 'refine gaussian'"):
        score_records(write_records(tmp_path / "records.jsonl"), "refine gaussian", OVER)


def scores(mean_iu: float | None) -> MaskScores:
    return MaskScores(0.9, 0.8, mean_iu, 0.7)


def measured(name: str, mean_iu: float, *, gpu_ms: float | None = None, **changes: Any) -> Measured:
    recipe = pixel_recipe(**changes)
    facts = {"recipe": recipe.model_dump(mode="json"), "minutes": 12.34, "network": recipe.network}
    quality = Quality(scores(0.125), scores(0.25), scores(mean_iu), scores(mean_iu + 0.1))
    run = Run(Row(name=name, says=f"the {name}"), Path("runs") / name, facts)
    return Measured(run, Cost(2_345_678, 1.234), quality, Latency(12.34, 23.45, 34.56, gpu_ms))


def test_a_row() -> None:
    row = make_row(measured("network", 0.4, init="imagenet", network_options={"width": 0.25}))
    assert list(row.values()) == [
        *("the network", 3, 12.3, "ImageNet", 0.25, 2.35, 1.23, 12.3, 23.4, 34.6, "not measured"),
        *(90.0, 80.0, 12.5, 70.0, 25.0, 40.0, 50.0),
    ]
    other = make_row(measured("other", 0.4, gpu_ms=1.234, init="runs/shoes/stage/best.pt"))
    assert (other["GPU ms"], other["start"], other["width"]) == (1.23, "stage", 1.0)
    assert "| the network |" in Table("Networks", [row]).to_markdown()


def test_the_bridge() -> None:
    full, weak = measured("full", 0.5), measured("weak", 0.4, masks_dir="out/weak")
    assert say_bridge([full, weak]) == (
        "conv_deconv from masks that nobody drew has a mean IU of 40.0 over background and the five animals; from "
        "drawn masks, 50.0. The bridge: 80.0 % of full supervision; with CRF 50.0 of 60.0, 83.3 %."
    )
    assert say_bridge([measured("other", 0.5, init="imagenet"), weak]) == "", "it started from something else"
    assert say_bridge([full]) == ""


def run_all(tmp_path: Path, plan: Path) -> dict[str, Any]:
    main(
        runs=tmp_path / "runs",
        plan=str(plan),
        store=tmp_path / "store",
        voc=tmp_path / "voc",
        split="val",
        work=tmp_path / "work",
        every=1,
        repeats=1,
        jobs=1,
        out=tmp_path / "table",
    )
    return json.loads((tmp_path / "table.json").read_text(encoding="utf-8"))


def test_from_run_folders_to_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(PLAN, encoding="utf-8")
    write_voc(tmp_path / "voc")
    with pytest.raises(Exit):
        run_all(tmp_path, plan)
    assert "has no finished run of full, later, bridge" in capsys.readouterr().err
    write_run(tmp_path / "runs/full", classes=("cat", "horse", "person"), max_side=48)
    write_run(tmp_path / "runs/bridge", seed=1, classes=("cat", "horse"), max_side=48, masks_dir="weak")
    document = run_all(tmp_path, plan)
    rows = document["tables"]["Networks"]
    assert [row["network"] for row in rows] == ["the network", "the same, from weak masks"]
    results = json.loads((tmp_path / "work/full/results.json").read_text(encoding="utf-8"))
    assert rows[0]["mean IU"] == pytest.approx(100 * results["predicted_tags"]["mean_iu"], abs=0.05)
    crf = results["refines"]["crf"]["predicted_tags"]["mean_iu"]
    assert rows[0]["mean IU + CRF"] == pytest.approx(100 * crf, abs=0.05)
    assert document["setup"]["size as served"] == "36 x 48"
    assert "% of full supervision" in document["setup"]["bridge"]
    kept = {name: (tmp_path / f"store/{name}.mar").stat().st_mtime_ns for name in ("full", "bridge")}
    (tmp_path / "runs/bridge/best.pt").unlink()
    (tmp_path / "runs/bridge/metrics.json").unlink()
    (tmp_path / "runs/bridge").rmdir()
    write_run(tmp_path / "runs/bridge", seed=2, classes=("cat", "horse"), max_side=48, masks_dir="weak")
    capsys.readouterr()
    run_all(tmp_path, plan)
    printed = capsys.readouterr().out
    assert "full: 2 of 2 photos are finished already" in printed
    assert (tmp_path / "store/full.mar").stat().st_mtime_ns == kept["full"]
    assert (tmp_path / "store/bridge.mar").stat().st_mtime_ns > kept["bridge"], "it has other weights"
    assert open_archive(tmp_path / "store/bridge.mar").card.labels_pixels
