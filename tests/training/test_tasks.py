"""Losses and metrics by hand and against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from tests.helpers.drawn_photos import tiny_recipe
from training.tasks import MultiLabel, Pixels, SingleLabel, build_task

CLASSES = ("cat", "cow", "dog")


def test_softmax_cross_entropy_by_hand() -> None:
    outputs = torch.tensor([[0.0, 0.0, 0.0], [math.log(2), 0.0, 0.0]])
    targets = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    loss = SingleLabel(CLASSES).loss(outputs, targets)
    assert loss.tolist() == pytest.approx([math.log(3), math.log(2)])


def test_sigmoid_cross_entropy_by_hand() -> None:
    outputs = torch.tensor([[0.0, 0.0, math.log(3)], [0.0, 0.0, -math.log(3)]])
    targets = torch.tensor([[1.0, 0.0, 1.0], [1.0, 0.0, 1.0]])
    loss = MultiLabel(CLASSES).loss(outputs, targets)
    assert loss.tolist() == pytest.approx([2 * math.log(2) + math.log(4 / 3), 2 * math.log(2) + math.log(4)])


def test_accuracy_counts_photos() -> None:
    task = SingleLabel(CLASSES)
    metric = task.metric()
    eye = torch.eye(3)
    task.update(metric, eye[[0, 1, 2]], eye[[0, 1, 1]])
    task.update(metric, eye[[0]], eye[[0]])
    assert task.summarise(metric) == {"accuracy": 0.75}


def test_average_precision_by_hand_leaves_out_classes_that_no_photo_shows() -> None:
    task = MultiLabel(CLASSES)
    metric = task.metric()
    task.update(metric, torch.tensor([[4.0, 1.0, 9.0]]), torch.tensor([[1.0, 0.0, 0.0]]))
    task.update(
        metric, torch.tensor([[3.0, 2.0, 9.0], [2.0, 3.0, 9.0]]), torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    )
    figures = task.summarise(metric)
    # cat: ranked right, wrong, right: (1/1 + 2/3) / 2. cow: wrong, right, wrong: 1/2. No dog at all.
    assert figures == {
        "map": pytest.approx((5 / 6 + 1 / 2) / 2),
        "average_precision/cat": pytest.approx(5 / 6),
        "average_precision/cow": pytest.approx(1 / 2),
    }


def test_average_precision_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    outputs, targets = rng.normal(size=(40, 3)), rng.integers(0, 2, (40, 3))
    task = MultiLabel(CLASSES)
    metric = task.metric()
    for rows in (slice(0, 25), slice(25, 40)):
        task.update(metric, torch.tensor(outputs[rows]), torch.tensor(targets[rows], dtype=torch.float32))
    assert task.summarise(metric)["map"] == pytest.approx(average_precision_score(targets, outputs), abs=1e-6)


def test_a_task_is_chosen_by_the_recipe() -> None:
    assert isinstance(build_task(tiny_recipe(task="multi_label"), CLASSES), MultiLabel)
    assert isinstance(build_task(tiny_recipe(task="single_label"), CLASSES), SingleLabel)
    pixels = build_task(tiny_recipe(task="pixels", resize=None, dice=0.5), CLASSES)
    assert isinstance(pixels, Pixels)
    assert pixels.dice == 0.5
