"""Whole trainings from masks: what they learn, what they leave behind, how they go on, and where stages start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers.drawn_masks import KINDS, pixel_recipe, write_masks
from training.loop import Loop
from training.photos import Batch
from training.recipe import RecipeError, read_recipe
from training.run import train
from training.start import build_start
from weakseg.errors import ModelError, UnsupportedNetworkError
from weakseg.models.checkpoint import read_metadata
from weakseg.models.pixel.load import load_pixel_model

MOBILE = {"network": "fcn32s_mobilenet_v2", "network_options": {"width": 0.25}, "input_hw": (64, 64)}


class Killed(Exception):
    pass


@pytest.fixture(scope="module")
def masks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_masks(tmp_path_factory.mktemp("masks"))


@pytest.fixture(scope="module")
def whole(masks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    train(pixel_recipe(), masks, folder, bar=False)
    return folder


def test_a_checkpoint_says_that_it_labels_pixels_and_how_it_is_fed(whole: Path) -> None:
    said = read_metadata(whole / "best.pt")
    assert said is not None
    assert said.pixels
    assert said.classes == KINDS
    assert said.network_options == dict(pixel_recipe().network_options)
    assert said.max_side == 40
    model = load_pixel_model(whole / "best.pt")
    assert model.model(torch.zeros(1, 3, 35, 51)).shape == (1, 3, 35, 51)


def test_every_figure_is_measured_on_both_splits_and_every_epoch_is_drawn(whole: Path) -> None:
    metrics = json.loads((whole / "metrics.json").read_text(encoding="utf-8"))["metrics"]
    for split in ("train", "val"):
        assert {"loss", "pixel_accuracy", "mean_accuracy", "mean_iu", "fw_iu", "iu/disc"} <= set(metrics[split])
    assert len(list((whole / "samples").iterdir())) == 3
    assert (whole / "curves.png").stat().st_size > 1000


def test_a_killed_run_goes_on_bit_for_bit(
    whole: Path, masks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Loop.training_step

    def dying(loop: Loop, batch: Batch, index: int) -> torch.Tensor:
        if loop.global_step == 3:
            raise Killed
        return step(loop, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "training_step", dying)
        with pytest.raises(Killed):
            train(pixel_recipe(), masks, tmp_path, bar=False)
    assert (tmp_path / "last.ckpt").is_file()
    train(pixel_recipe(), masks, tmp_path, bar=False)
    found, expected = (torch.load(folder / "best.pt", weights_only=True) for folder in (tmp_path, whole))
    assert found["metrics"] == expected["metrics"]
    for name, value in expected["state_dict"].items():
        assert torch.equal(found["state_dict"][name], value), name


def test_it_learns(tmp_path: Path) -> None:
    masks = write_masks(tmp_path / "masks", 12)
    recipe = pixel_recipe(epochs=40, batch=4, learning_rate=0.02, turn=0, zoom=None, jitter=0)
    assert train(recipe, masks, tmp_path / "run", bar=False).metrics["val"]["mean_iu"] > 0.8


def test_a_stage_starts_from_the_stage_before(masks: Path, tmp_path: Path) -> None:
    train(pixel_recipe(**MOBILE, epochs=1), masks, tmp_path / "first", bar=False)
    first = torch.load(tmp_path / "first" / "best.pt", weights_only=True)["state_dict"]
    second = pixel_recipe(**{**MOBILE, "network": "fcn16s_mobilenet_v2"}, init=str(tmp_path / "first" / "best.pt"))
    start = build_start(second, KINDS)
    state = start.network.state_dict()
    assert torch.equal(state["score.weight"], first["score.weight"])
    assert {name.partition(".")[0] for name in start.new} == {"upscore2", "score_pool4", "upscore16"}
    other = build_start(second.model_copy(update={"classes": ("a", "b", "c")}), "abc")
    assert {"score.weight", "score.bias"} <= other.new, "other classes, another head"


def test_a_checkpoint_of_another_network_is_refused(whole: Path) -> None:
    with pytest.raises(ModelError, match="does not fit fcn8s_mobilenet_v2"):
        build_start(pixel_recipe(**{**MOBILE, "network": "fcn8s_mobilenet_v2"}, init=str(whole / "best.pt")), KINDS)


def test_what_cannot_start_from_imagenet_says_so() -> None:
    with pytest.raises(ModelError, match="init=random"):
        build_start(pixel_recipe(init="imagenet"), KINDS)


def test_an_unknown_network_lists_those_that_there_are() -> None:
    with pytest.raises(UnsupportedNetworkError, match="fcn8s_vgg16"):
        build_start(pixel_recipe(network="unet", network_options={}), KINDS)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (["dice=0.5"], "dice belongs to task: pixels"),
        (["max_side=100"], "max_side belongs to task: pixels"),
        (["task=pixels", "resize=[0.5, 1]"], "resize is for classifiers"),
        (["task=pixels", "max_side=1025"], "max_side = 1025: .* less than or equal to 1024"),
    ],
)
def test_fields_belong_to_their_task(changes: list[str], complaint: str) -> None:
    with pytest.raises(RecipeError, match=complaint):
        read_recipe("mobilenet_v2_voc", changes)


@pytest.mark.parametrize(
    ("fields", "side"),
    [
        ({"input_hw": (64, 96)}, 96),
        ({"input_hw": (1200, 1100)}, 1024),
        ({"input_hw": (1200, 1100), "max_side": 320}, 320),
    ],
)
def test_photos_are_served_no_larger_than_a_request_may_ask_for(fields: dict[str, Any], side: int) -> None:
    assert pixel_recipe(**fields).served_side == side
