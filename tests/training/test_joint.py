"""A joint network, from photos with labels to an answer of the service."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from export.build import build_archive
from scripts.archives import Trained, read_checkpoint
from tests.helpers.drawn_photos import KINDS, tiny_recipe, write_csv
from training.recipe import FOLDER, read_recipe
from training.run import train
from training.start import build_start
from weakseg.archive import open_archive
from weakseg.codec.decode import Limits
from weakseg.models.classifier import build_network
from weakseg.models.own import OWN_NETWORKS
from weakseg.pipeline import Pipeline
from weakseg.runtime import open_runtime
from weakseg.types import RawRequest

NETWORK = "joint_squeezenet1_1_lse"
RECIPES = sorted(path.stem for path in FOLDER.glob("joint_*.yaml"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """One epoch on twelve drawings, and what the launcher makes of its checkpoint."""
    folder = tmp_path_factory.mktemp("joint")
    recipe = tiny_recipe(network=NETWORK, epochs=1, batch=6, input_hw=(48, 64), resize=None)
    outcome = train(recipe, write_csv(folder / "photos"), folder / "run", bar=False)
    assert (folder / "run" / "samples" / "epoch_01.jpg").is_file(), "class maps are drawn while it learns"
    return read_checkpoint(outcome.checkpoint, print, method=None)


def test_the_launcher_takes_the_networks_own_maps(trained: Trained) -> None:
    assert (trained.settings.method, trained.name) == ("joint", NETWORK)
    assert trained.model.classes == KINDS
    assert trained.model.multi_label


def test_what_was_trained_is_exported_and_answers(trained: Trained, tmp_path: Path) -> None:
    built = build_archive(
        trained.model,
        name=trained.name,
        directory=tmp_path,
        settings=trained.settings,
        card_fields={"multi_label": True, "photo_task": {"refine": "gaussian", "threshold": 0.3}},
    )
    archive = open_archive(built.path)
    pipeline = Pipeline(archive.card, open_runtime(archive.card, archive.read_file), Limits())
    photo = np.random.default_rng(0).integers(0, 256, (70, 110, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, "PNG")
    asked = [{"classes": "star"}, {"classes": ["disc", "triangle"], "format": "json"}]
    mask, document = pipeline.answer([RawRequest(buffer.getvalue(), options) for options in asked])
    assert (mask.status, document.status) == (200, 200), (mask.body, document.body)
    label_map = np.array(Image.open(io.BytesIO(mask.body)))
    assert label_map.shape == (70, 110)
    assert 0 < label_map.mean() < 1, "a share of the map's range is always above 0"
    found = json.loads(document.body)
    assert found["method"] == "joint"
    assert {segment["label"] for segment in found["segments"]} <= {"disc", "triangle"}


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_name_networks_of_ours_that_learn_from_several_labels(name: str) -> None:
    recipe = read_recipe(name)
    assert OWN_NETWORKS[recipe.network].has_class_map
    assert (recipe.multi_label, recipe.init) == (True, "imagenet")


def test_a_fine_tuned_ancestor_of_the_same_classes_brings_its_head(tmp_path: Path) -> None:
    torch.manual_seed(0)
    ancestor = build_network("mobilenet_v2", 3).state_dict()
    torch.save(ancestor, tmp_path / "plain.pth")
    head = {"class_convolution.weight", "class_convolution.bias"}
    recipe = tiny_recipe(network="joint_mobilenet_v2", init=str(tmp_path / "plain.pth"), batch_norm="kept")
    start = build_start(recipe, KINDS)
    assert start.new == head, "a bare state dict does not say what its classes are"
    assert torch.equal(start.network.state_dict()["features.18.0.weight"], ancestor["features.18.0.weight"])
    facts = {"network": "mobilenet_v2", "classes": list(KINDS), "hw": [32, 40], "mean": [0.5] * 3, "std": [0.5] * 3}
    torch.save({"state_dict": ancestor, **facts, "multi_label": True}, tmp_path / "plain.pth")
    start = build_start(recipe, KINDS)
    assert start.new == set()
    assert torch.equal(
        start.network.state_dict()["class_convolution.weight"], ancestor["classifier.1.weight"][:, :, None, None]
    )
