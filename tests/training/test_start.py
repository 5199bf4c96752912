"""Where a training starts from: heads, initial weights, frozen layers."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch

from tests.helpers.drawn_photos import KINDS, tiny_recipe
from training.recipe import RecipeError
from training.start import build_start, find_head
from weakseg.errors import ModelError
from weakseg.models.classifier import IMAGENET_MEAN, build_network


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(5)
    path = tmp_path / "weights.pth"
    state = build_network("demo", 7).state_dict()
    torch.save({name: value + 1 if "running_mean" in name else value for name, value in state.items()}, path)
    return path


def describe(weights: Path) -> None:
    """Make a checkpoint of ours of a state dict of seven classes, a to g."""
    described = {
        "state_dict": torch.load(weights, weights_only=True),
        "network": "demo",
        "classes": list("abcdefg"),
        "hw": [32, 40],
        "mean": [0.1, 0.2, 0.3],
        "std": [0.4, 0.5, 0.6],
        "multi_label": True,
    }
    torch.save(described, weights)


@pytest.mark.parametrize(
    ("network", "head"),
    [
        ("demo", {"classifier.weight", "classifier.bias"}),
        ("alexnet", {"classifier.6.weight", "classifier.6.bias"}),
        ("alexnet_plus", {"classifier.prediction.weight", "classifier.prediction.bias"}),
        ("vgg16_fcn", {"head.weight", "head.bias"}),
        ("joint_alexnet", {"class_convolution.weight", "class_convolution.bias"}),
        ("squeezenet1_1_linear", {"classifier.1.weight", "classifier.1.bias"}),
        ("mobilenet_v2", {"classifier.1.weight", "classifier.1.bias"}),
        ("densenet121", {"classifier.weight", "classifier.bias"}),
    ],
)
def test_the_head_is_what_depends_on_the_number_of_classes(network: str, head: set[str]) -> None:
    assert find_head(partial(build_network, network)) == head


def test_random_weights_depend_on_the_seed_and_leave_the_random_state() -> None:
    state = torch.random.get_rng_state()
    first, again, other = (build_start(tiny_recipe(seed=seed, mean=None), KINDS) for seed in (1, 1, 2))
    assert torch.equal(state, torch.random.get_rng_state())
    weight = [start.network.state_dict()["features.1.0.weight"] for start in (first, again, other)]
    assert torch.equal(weight[0], weight[1])
    assert not torch.equal(weight[0], weight[2])
    assert first.mean == IMAGENET_MEAN
    assert first.std == (0.5, 0.5, 0.5)


def test_a_file_fills_all_but_a_head_of_another_size(weights: Path) -> None:
    start = build_start(tiny_recipe(init=str(weights)), KINDS)
    state, given = start.network.state_dict(), torch.load(weights, weights_only=True)
    assert start.new == {"classifier.weight", "classifier.bias"}
    assert all(torch.equal(state[name], given[name]) for name in given if name not in start.new)
    assert state["classifier.weight"].shape == (3, 64)
    assert start.weights.startswith("weights.pth (SHA-256 ")


def test_a_head_of_the_same_size_starts_anew_unless_it_is_of_the_same_classes(weights: Path) -> None:
    recipe, head = tiny_recipe(init=str(weights)), {"classifier.weight", "classifier.bias"}
    assert build_start(recipe, "abcdefg").new == head, "a bare state dict does not say what its classes are"
    describe(weights)
    assert build_start(recipe, "abcdegf").new == head, "another order is another meaning"
    start = build_start(recipe, "abcdefg")
    assert start.new == frozenset()
    given = torch.load(weights, weights_only=True)["state_dict"]["classifier.weight"]
    assert torch.equal(start.network.state_dict()["classifier.weight"], given)


def test_imagenet_s_head_is_not_kept_for_other_thousand_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    state = build_network("demo", 7).state_dict()
    imagenet = (state, IMAGENET_MEAN, (0.5, 0.5, 0.5), "ImageNet")
    monkeypatch.setattr("training.start._read_imagenet", lambda _: imagenet)
    start = build_start(tiny_recipe(init="imagenet", batch_norm="kept"), "abcdefg")
    assert start.new == {"classifier.weight", "classifier.bias"}


def test_a_file_of_another_library_may_lack_batch_counters(weights: Path) -> None:
    state = torch.load(weights, weights_only=True)
    torch.save({name: value for name, value in state.items() if "num_batches" not in name}, weights)
    assert build_start(tiny_recipe(init=str(weights)), KINDS).new == {"classifier.weight", "classifier.bias"}


def test_a_checkpoint_of_ours_brings_its_normalisation(weights: Path) -> None:
    describe(weights)
    start = build_start(tiny_recipe(init=str(weights), mean=None, std=None), KINDS)
    assert (start.mean, start.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))


def test_weights_of_another_network_are_refused(weights: Path) -> None:
    with pytest.raises(ModelError, match=r"does not fit squeezenet1_1: '.*' is unknown, missing or of another shape"):
        build_start(tiny_recipe(network="squeezenet1_1", init=str(weights)), KINDS)
    state = torch.load(weights, weights_only=True)
    torch.save({name: value for name, value in state.items() if name != "features.1.0.weight"}, weights)
    with pytest.raises(ModelError, match=r"'features\.1\.0\.weight' is unknown, missing"):
        build_start(tiny_recipe(init=str(weights)), KINDS)


def test_weights_whose_batch_norm_was_folded_must_keep_its_statistics(weights: Path) -> None:
    torch.save(build_network("demo", 7).state_dict(), weights)  # mean 0 and variance 1 everywhere
    with pytest.raises(RecipeError, match=r"was folded: its normalisation layers .* Set batch_norm=kept"):
        build_start(tiny_recipe(init=str(weights)), KINDS)
    build_start(tiny_recipe(init=str(weights), batch_norm="kept"), KINDS)


def test_a_network_without_imagenet_weights_says_so() -> None:
    with pytest.raises(ModelError, match=r"no ImageNet weights of 'demo'\. Start with init=random"):
        build_start(tiny_recipe(init="imagenet"), KINDS)


def test_frozen_layers_are_those_of_the_prefix_and_no_others() -> None:
    start = build_start(tiny_recipe(freeze=("features.1",)), KINDS)
    frozen = {name for name, value in start.network.named_parameters() if not value.requires_grad}
    assert frozen == {"features.1.0.weight", "features.1.1.weight", "features.1.1.bias"}
    with pytest.raises(RecipeError, match=r"no layer's name starts with 'body'\. The network's layers: features, pool"):
        build_start(tiny_recipe(freeze=("body",)), KINDS)
