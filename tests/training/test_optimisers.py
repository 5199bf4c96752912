"""Learning rates worked out by hand, and who gets which."""

from __future__ import annotations

import pytest
import torch

from tests.helpers.drawn_photos import KINDS, tiny_recipe
from training.optimisers import build_optimiser, rate_at
from training.start import build_start

PLAIN = {"schedule": "constant", "warmup_epochs": 0.0}


def test_a_constant_rate() -> None:
    assert [rate_at(tiny_recipe(**PLAIN), 10)(step) for step in (0, 99)] == [1, 1]


def test_the_warm_up_rises_linearly_to_one() -> None:
    rates = [rate_at(tiny_recipe(schedule="constant", warmup_epochs=0.4), 10)(step) for step in range(6)]
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])


def test_the_cosine_falls_from_one_to_a_hundredth() -> None:
    rate = rate_at(tiny_recipe(schedule="cosine", warmup_epochs=0.0, epochs=4), 10)
    assert rate(0) == 1
    assert rate(20) == pytest.approx(0.505)
    assert rate(40) == pytest.approx(0.01)


def test_steps() -> None:
    rate = rate_at(tiny_recipe(schedule="step", warmup_epochs=0.0, step_epochs=2, step_factor=0.1), 10)
    assert [rate(step) for step in (19, 20, 39, 40)] == pytest.approx([1, 0.1, 0.1, 0.01])


@pytest.mark.parametrize(("name", "kind"), [("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW)])
def test_new_layers_learn_faster_and_biases_and_norms_do_not_decay(name: str, kind: type) -> None:
    recipe = tiny_recipe(optimiser=name, learning_rate=0.1, head_rate=3.0, weight_decay=0.02, freeze=("features.0",))
    start = build_start(recipe, KINDS)
    optimiser = build_optimiser(start.network, recipe, start.new)
    names = {id(value): name for name, value in start.network.named_parameters()}
    found = {
        names[id(value)]: (group["lr"], group["weight_decay"])
        for group in optimiser.param_groups
        for value in group["params"]
    }
    assert isinstance(optimiser, kind)
    assert found["features.1.0.weight"] == (0.1, 0.02)
    assert found["features.1.1.weight"] == (0.1, 0)
    assert found["classifier.weight"] == (pytest.approx(0.3), 0.02)
    assert found["classifier.bias"] == (pytest.approx(0.3), 0)
    assert not any(name.startswith("features.0.") for name in found)
