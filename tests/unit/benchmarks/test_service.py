"""The archives that the benchmark serves; TorchServe itself is not started."""

from __future__ import annotations

import zipfile
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml

from benchmarks import service
from benchmarks.recipe import Recipe
from scripts import torchserve
from tests.helpers.colour_archive import colour_card, write_colour_archive
from weakseg.archive import CONFIG_FILE, open_archive
from weakseg.runtime import TORCHSCRIPT_FILE

RECIPE = Recipe(0.01, 0.4, 14.0, 10, 0.006, 3.0, 0.1, 8.0, 5.0)


def test_the_recipe_is_what_the_card_does_without_options() -> None:
    card = colour_card(photo_task={"refine": "gaussian+crf", "sigma": 0.01, "threshold": 0.4, "crf": {"steps": 7}})
    assert service.recipe_of(card) == replace(RECIPE, steps=7)


def test_a_copied_archive_has_another_name_and_serving_but_the_same_graph(tmp_path: Path) -> None:
    source, target = write_colour_archive(tmp_path / "colours.mar"), tmp_path / "other.mar"
    service.copy_archive(source, target, runtime="torchscript", batchSize=1)
    old, new = open_archive(source), open_archive(target)
    assert new.card == old.card.model_copy(update={"name": "other", "runtime": "torchscript"})
    assert new.read_file(TORCHSCRIPT_FILE) == old.read_file(TORCHSCRIPT_FILE)
    assert yaml.safe_load(new.read_file(CONFIG_FILE))["batchSize"] == 1


def test_the_naive_archive_holds_its_handler_and_recipe(tmp_path: Path) -> None:
    service.write_naive_archive(tmp_path / "naive.mar", RECIPE, threads=2, workers=3)
    with zipfile.ZipFile(tmp_path / "naive.mar") as archive:
        assert "naive_handler.py" in archive.namelist()
        config = yaml.safe_load(archive.read(CONFIG_FILE))
    assert (config["minWorkers"], config["maxWorkers"], config["batchSize"]) == (3, 3, 1)
    assert config["naive"] == {**asdict(RECIPE), "threads": 2}


def test_ports_in_use_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def check_ports(first: int) -> None:
        if first <= 20090:
            raise torchserve.ServiceError(f"{first} is in use")

    monkeypatch.setattr(torchserve, "check_ports", check_ports)
    assert service.find_free_ports() == 20100
