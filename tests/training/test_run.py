"""Whole trainings of seconds: what they learn, what they leave behind, and how they go on after a kill."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from rich.console import Console
from sklearn.metrics import average_precision_score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typer.testing import CliRunner

from tests.helpers.drawn_photos import KINDS, tiny_recipe, write_csv, write_folders
from training.__main__ import app
from training.loop import Loop
from training.photos import Batch
from training.recipe import RecipeError
from training.run import train
from training.start import build_start
from weakseg.errors import ModelError
from weakseg.models.checkpoint import read_metadata
from weakseg.models.classifier import load_classifier

ROOT = Path(__file__).parents[2]


class Killed(Exception):
    pass


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_csv(tmp_path_factory.mktemp("photos"), 5)


@pytest.fixture(scope="module")
def whole(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    train(tiny_recipe(), table, folder, bar=False)
    return folder


def die_in_step(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The training is killed in its step of this number, from 0."""
    step = Loop.training_step

    def dying(loop: Loop, batch: Batch, index: int) -> torch.Tensor:
        if loop.global_step == number:
            raise Killed
        return step(loop, batch, index)

    monkeypatch.setattr(Loop, "training_step", dying)


def assert_same(found: object, expected: object, where: str = "") -> None:
    if isinstance(expected, torch.Tensor):
        assert torch.equal(found, expected), where
    elif isinstance(expected, dict):
        assert isinstance(found, dict), where
        assert found.keys() == expected.keys(), where
        for key, value in expected.items():
            assert_same(found[key], value, f"{where}/{key}")
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected), where
        for index, value in enumerate(expected):
            assert_same(found[index], value, f"{where}/{index}")
    else:
        assert found == expected, where


def load_state(folder: Path) -> dict[str, object]:
    """All that a run goes on from, but for times."""
    saved = torch.load(folder / "last.ckpt", weights_only=True)
    for row in saved["callbacks"]["Record"]["history"]:
        del row["seconds"]
    return {
        name: saved[name] for name in ("state_dict", "optimizer_states", "lr_schedulers", "callbacks", "global_step")
    }


def measure_as_served(checkpoint: Path, table: Path) -> float:
    """Mean average precision on the table's val photos, by the exported half networks and scikit-learn."""
    loaded = load_classifier(None, checkpoint)
    height, width = loaded.normalisation.hw
    logits, truth = [], []
    with table.open() as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "val"]
    for row in rows:
        rgb = cv2.imread(str(table.parent / row["path"]))[..., ::-1]
        small = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
        images = (torch.tensor(small / 255.0, dtype=torch.float32).permute(2, 0, 1)[None] - 0.5) / 0.5  # (1, 3, h, w)
        logits.append(loaded.split.logits(loaded.split.features(images))[0].numpy())
        truth.append([name in row["labels"].split(";") for name in loaded.classes])
    return float(average_precision_score(np.array(truth), np.array(logits)))


@pytest.mark.parametrize("killed_in_step", [1, 4, 7])
def test_a_killed_run_goes_on_bit_for_bit(
    whole: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_in_step: int
) -> None:
    """Three epochs of three steps, killed in the first, the second and the third epoch."""
    with monkeypatch.context() as patch:
        die_in_step(patch, killed_in_step)
        with pytest.raises(Killed):
            train(tiny_recipe(), table, tmp_path / "run", bar=False)
    assert (tmp_path / "run" / "last.ckpt").exists() == (killed_in_step > 3)
    torch.rand(5)  # the caller's random state has no influence
    train(tiny_recipe(), table, tmp_path / "run", bar=False)
    assert_same(load_state(tmp_path / "run"), load_state(whole))
    best, expected = (torch.load(folder / "best.pt", weights_only=True) for folder in (tmp_path / "run", whole))
    assert_same(best, expected)
    assert len(list((tmp_path / "run" / "samples").iterdir())) == 3


def test_the_state_to_go_on_from_holds_averages_optimiser_and_schedule(whole: Path) -> None:
    state = load_state(whole)
    assert state["global_step"] == 9
    assert state["state_dict"]["averaged.n_averaged"] == 9
    assert state["optimizer_states"][0]["state"][0]["step"] == 9
    assert state["lr_schedulers"][0]["last_epoch"] == 9
    averaged, latest = (state["state_dict"][f"{name}.classifier.weight"] for name in ("averaged.module", "network"))
    assert not torch.equal(averaged, latest)


def test_workers_change_nothing(whole: Path, table: Path, tmp_path: Path) -> None:
    train(tiny_recipe(workers=1), table, tmp_path, bar=False)
    found, expected = (torch.load(folder / "best.pt", weights_only=True) for folder in (tmp_path, whole))
    assert_same(found["state_dict"], expected["state_dict"])


def test_a_run_leaves_figures_curves_and_pictures(whole: Path, table: Path) -> None:
    names = {path.name for path in whole.iterdir()}
    assert names == {
        "best.pt", "last.ckpt", "history.csv", "metrics.json", "curves.png", "recipe.json", "samples", "tensorboard",
    }  # fmt: skip
    with (whole / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    metrics = json.loads((whole / "metrics.json").read_text())["metrics"]
    assert metrics["epoch"] == 3
    assert metrics["val"]["map"] == pytest.approx(float(rows[-1]["val_map"]))
    assert 0 < metrics["train"]["map"] <= 1
    assert metrics["val"]["map"] == pytest.approx(measure_as_served(whole / "best.pt", table), abs=1e-6)
    picture = cv2.imread(str(whole / "samples" / "epoch_03.jpg"))
    assert picture.shape[0] == 6 * 162  # six photos
    assert picture.shape[1] == 3 * round(56 * 160 / 40)  # photo and two maps
    assert cv2.imread(str(whole / "curves.png")) is not None


@pytest.mark.parametrize(("select", "epoch"), [("last", 3), ("best", 2)])
def test_the_result_is_the_last_epoch_unless_the_recipe_says_best(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, select: str, epoch: int
) -> None:
    values = iter([0.5, 0.7, 0.6, 0.6, 0.6])  # of three epochs, then of both splits with the result's weights
    averaged: list[dict[str, torch.Tensor]] = []

    def summarise(*_: object) -> dict[str, float]:
        return {"map": next(values)}

    def remember(loop: Loop) -> None:
        averaged.append({name: value.clone() for name, value in loop.result.state_dict().items()})

    monkeypatch.setattr("training.tasks.MultiLabel.summarise", summarise)
    monkeypatch.setattr(Loop, "on_validation_start", remember)
    train(tiny_recipe(select=select), table, tmp_path, bar=False)
    saved = torch.load(tmp_path / "best.pt", weights_only=True)
    assert saved["metrics"]["epoch"] == epoch
    assert_same(saved["state_dict"], averaged[epoch - 1])
    assert not torch.equal(averaged[1]["classifier.weight"], averaged[2]["classifier.weight"])


def test_the_checkpoint_holds_all_that_export_needs(whole: Path) -> None:
    loaded = load_classifier(None, whole / "best.pt")
    saved = torch.load(whole / "best.pt", weights_only=True)
    assert loaded.network == "demo"
    assert loaded.classes == KINDS
    assert loaded.multi_label
    assert loaded.normalisation.hw == (32, 40)
    assert loaded.normalisation.mean == loaded.normalisation.std == (0.5, 0.5, 0.5)
    assert saved["recipe"] == tiny_recipe().model_dump(mode="json")
    assert saved["data"]["train"] == 15
    assert saved["versions"]["torch"] == str(torch.__version__)
    with pytest.raises(ModelError, match="is a checkpoint of demo, not of resnet18"):
        load_classifier("resnet18", whole / "best.pt")


def test_a_checkpoint_without_its_classes_is_refused(whole: Path, tmp_path: Path) -> None:
    saved = torch.load(whole / "best.pt", weights_only=True)
    del saved["classes"]
    torch.save(saved, tmp_path / "half.pt")
    with pytest.raises(ModelError, match="names its network, 'demo', but not its 'classes'"):
        read_metadata(tmp_path / "half.pt")


def test_a_finished_run_is_not_repeated_and_another_recipe_is_refused(whole: Path, table: Path) -> None:
    before = (whole / "best.pt").stat().st_mtime_ns
    said = io.StringIO()
    outcome = train(tiny_recipe(), table, whole, console=Console(file=said), bar=False)
    assert "nothing to do" in said.getvalue()
    assert outcome.metrics["epoch"] >= 1
    assert (whole / "best.pt").stat().st_mtime_ns == before
    with pytest.raises(RecipeError, match=r"holds a run with epochs = 3, not 4\. Choose another folder with --out"):
        train(tiny_recipe(epochs=4), table, whole, bar=False)


def test_the_command_trains_single_labels_and_learns(tmp_path: Path) -> None:
    data = write_folders(tmp_path / "photos", 6)
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        "# Mine\nnetwork: demo\ninit: random\ntask: single_label\ninput_hw: [40, 56]\nmean: 0.5\nstd: 0.5\n"
        "epochs: 5\nbatch: 3\nlearning_rate: 0.005\nschedule: cosine\nflip: false\n"
    )
    command = [str(recipe), "--data", str(data), "--out", str(tmp_path / "run")]
    answer = CliRunner().invoke(app, [*command, "weight_decay=0.001"])
    assert answer.exit_code == 0, answer.output
    assert "demo, 3 classes, 18 photos to learn from, 18 to measure on" in answer.output
    with (tmp_path / "run" / "history.csv").open() as file:
        losses = [float(row["train_loss"]) for row in csv.DictReader(file)]
    assert losses[-1] < 0.75 * losses[0]
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())["metrics"]
    assert metrics["train"]["accuracy"] > 0.7  # chance is a third
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 1
    assert "--fresh" in refused.output
    again = CliRunner().invoke(app, [*command, "epochs=1", "--fresh"])
    assert "epoch 1/1:" in again.output


def test_tensorboard_gets_every_epoch_s_figures(whole: Path) -> None:
    events = EventAccumulator(str(whole / "tensorboard")).Reload()
    with (whole / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    for name in ("train_loss", "val_loss", "val_map", "learning_rate"):
        found = [(event.step, event.value) for event in events.Scalars(name)]
        assert found == [(int(row["epoch"]), pytest.approx(float(row[name]))) for row in rows]


def test_frozen_layers_and_their_statistics_stay(table: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(epochs=1, freeze=("features.0",))
    before = build_start(recipe, KINDS).network.state_dict()
    train(recipe, table, tmp_path, bar=False)
    after = torch.load(tmp_path / "best.pt", weights_only=True)["state_dict"]
    same = {name for name, value in after.items() if torch.equal(value, before[name])}
    assert {name for name in after if name.startswith("features.0.")} <= same
    assert "features.1.1.running_mean" not in same


def test_a_network_with_auxiliary_heads_is_trained_by_its_main_one(table: Path, tmp_path: Path) -> None:
    train(tiny_recipe(network="googlenet", epochs=1, limit=5, resize=None), table, tmp_path, bar=False)
    assert load_classifier(None, tmp_path / "best.pt").network == "googlenet"


def test_kept_statistics_stay_while_weights_learn(table: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(epochs=1, batch_norm="kept")
    before = build_start(recipe, KINDS).network.state_dict()
    train(recipe, table, tmp_path, bar=False)
    after = torch.load(tmp_path / "best.pt", weights_only=True)["state_dict"]
    assert all(torch.equal(value, before[name]) for name, value in after.items() if "running" in name)
    assert not torch.equal(after["features.0.1.weight"], before["features.0.1.weight"])


def test_a_network_without_class_maps_has_no_pictures(table: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("training.tasks.class_maps", lambda *_: None)
    train(tiny_recipe(epochs=1), table, tmp_path, bar=False)
    assert not (tmp_path / "samples").exists()


def test_the_command_lists_and_explains() -> None:
    for argument, expected in (("--list", "mobilenet_v2_voc"), ("--fields", "warmup_epochs"), ("--help", "torchrun")):
        answer = CliRunner().invoke(app, [argument])
        assert answer.exit_code == 0
        assert expected in answer.output


def test_torchrun_trains_in_two_processes(table: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(tiny_recipe(epochs=2, batch=3, resize=None).model_dump_json())  # JSON is YAML
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment["PYTHONPATH"] = os.pathsep.join((str(ROOT / "src"), str(ROOT)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "training"]
    command += [str(recipe), "--data", str(table), "--out", str(tmp_path / "run")]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("epoch 2/2:") == 1  # one process speaks
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    measured = measure_as_served(tmp_path / "run" / "best.pt", table)
    assert metrics["metrics"]["val"]["map"] == pytest.approx(measured, abs=1e-6)  # each photo counted once
    saved = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 2 * 2  # shares of 8 photos, batches of 3, the incomplete one left out
