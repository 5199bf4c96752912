"""Stages of a training on drawn shoes: unseen test sets, the table and the sheets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.runs import Run, finished_runs
from benchmarks.shoe_sets import check_unseen, write_sets
from benchmarks.shoe_stages import main, make_row
from tests.helpers.finished_runs import write_run
from tests.training.masks.drawn_masks import write_scenes, write_shoes
from training.experiments.plan import Row, read_plan
from training.labels import fraction
from training.masks.splits import read_masked_splits
from weakseg.errors import DataError

SHARE = 0.3
PLAN = """
title: Stages
recipe: fcn32s_shoes
rows:
  - {name: on_white, says: on white}
  - {name: on_scenes, says: on scenes}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """14 shoes, 14 scenes, and a run on either."""
    write_shoes(tmp_path / "shoes", 14)
    write_scenes(tmp_path / "scenes", 14)
    (tmp_path / "plan.yaml").write_text(PLAN, encoding="utf-8")
    train(tmp_path, "on_white", format="white")
    train(tmp_path, "on_scenes", seed=1, format="pasted", init="runs/on_white/best.pt")
    return tmp_path


def train(folder: Path, name: str, **changes: Any) -> None:
    """A run folder that says truly what its training would have learned from."""
    values = {"classes": ("shoe",), "held_out": SHARE, "backgrounds": str(folder / "scenes"), "max_side": 64} | changes
    run = write_run(folder / "runs" / name, **values)
    facts = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    made = Run(Row(name=name, says=name), run, facts)
    facts["data"] = read_masked_splits(folder / "shoes", made.recipe).description
    (run / "metrics.json").write_text(json.dumps(facts), encoding="utf-8")


def runs_of(folder: Path) -> list[Run]:
    return finished_runs(read_plan(str(folder / "plan.yaml")), folder / "runs")


def names_of(folder: Path) -> list[str]:
    return (folder / "val.txt").read_text(encoding="utf-8").split()


def test_the_sets_hold_unseen_shoes_alone(folder: Path) -> None:
    sets = write_sets(runs_of(folder), folder / "shoes", folder / "scenes", folder / "work", pictures=5)
    held_out = [path.stem for path in sorted((folder / "shoes").iterdir()) if fraction(path.stem) < SHARE]
    assert 0 < len(held_out) < 14
    assert names_of(sets["white"]) == held_out
    assert len(names_of(sets["scenes"])) == 5
    scenes = [path for path in (folder / "scenes").iterdir() if fraction(path.stem) < SHARE]
    blues = {int(np.array(Image.open(path))[0, 0, 2]) for path in scenes}
    for name in names_of(sets["scenes"]):
        rgb = np.array(Image.open(sets["scenes"] / f"images/{name}.jpg"))
        mask = np.array(Image.open(sets["scenes"] / f"masks/{name}.png"))
        scene = float(np.median(rgb[mask == 0][:, 2]))
        assert min(abs(scene - blue) for blue in blues) <= 2, "JPEG moves colours by a little"
        assert set(np.unique(mask)) == {0, 255}
    written = (sets["scenes"] / "val.txt").stat().st_mtime_ns
    write_sets(runs_of(folder), folder / "shoes", folder / "scenes", folder / "work", pictures=5)
    assert (sets["scenes"] / "val.txt").stat().st_mtime_ns == written
    with pytest.raises(DataError, match="made in another way"):
        write_sets(runs_of(folder), folder / "shoes", folder / "scenes", folder / "work", pictures=6)


def test_a_run_that_has_seen_a_test_set_is_refused(folder: Path) -> None:
    run, other = runs_of(folder)
    for each in (run, other):
        check_unseen(each, folder / "shoes", folder / "scenes", SHARE)
    with pytest.raises(DataError, match=r"learned from \d+ photos of the test sets, such as shoe_"):
        check_unseen(run, folder / "shoes", folder / "scenes", 2 * SHARE)
    train(folder, "third", format="white", held_out=0.5)
    third = Run(run.row, folder / "runs/third", json.loads((folder / "runs/third/metrics.json").read_text()))
    with pytest.raises(DataError, match="no test set suits them all"):
        write_sets([run, third], folder / "shoes", folder / "scenes", folder / "work", pictures=5)
    (folder / "shoes/shoe_03.png").unlink()
    with pytest.raises(DataError, match="learned from other photos"):
        check_unseen(run, folder / "shoes", folder / "scenes", SHARE)


def scores(iou: float) -> dict[str, Any]:
    return {"per_class": {"background": None, "shoe": {"iou": iou}}, "pixel_accuracy": 0.987}


def test_a_row(folder: Path) -> None:
    results = {
        "white": {**scores(0.5), "refines": {"crf": scores(0.625)}},
        "scenes": {**scores(0.25), "refines": {"crf": scores(0.375)}},
    }
    row = make_row(runs_of(folder)[1], results)
    assert list(row.values()) == ["on scenes", 3, 1.2, "on_white", 50.0, 62.5, 25.0, 37.5, 98.7]
    assert list(row)[4:6] == ["white: IoU", "white: IoU + CRF"]


def test_from_run_folders_to_table_and_sheets(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments: dict[str, Any] = {
        "runs": folder / "runs",
        "plan": str(folder / "plan.yaml"),
        "objects": folder / "shoes",
        "scenes": folder / "scenes",
        "store": folder / "store",
        "work": folder / "work",
        "pictures": 3,
        "sheet": 2,
        "jobs": 1,
        "out": folder / "table",
    }
    main(**arguments)
    document = json.loads((folder / "table.json").read_text(encoding="utf-8"))
    assert [row["stage"] for row in document["tables"]["Stages"]] == ["on white", "on scenes"]
    results = json.loads((folder / "work/results/on_scenes/scenes/results.json").read_text(encoding="utf-8"))
    iou = results["per_class"]["shoe"]["iou"]
    assert document["tables"]["Stages"][1]["scenes: IoU"] == pytest.approx(100 * iou, abs=0.05)
    assert document["setup"]["pictures"].endswith("3 on scenes")
    with Image.open(folder / "work/scenes.png") as picture:
        # Two rows of scenes of 60 x 90, 160 high: the photo, its truth and two stages.
        assert picture.size == (4 * 240, 2 * 162)
    capsys.readouterr()
    main(**arguments)
    assert "on_scenes, scenes: 3 of 3 photos are finished already" in capsys.readouterr().out
