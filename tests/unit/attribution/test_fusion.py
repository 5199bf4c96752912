"""Fusion on networks with hand-set weights: every expected number below is worked out on paper."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.helpers.queries import as_tensors, ask
from tests.helpers.tiny_networks import RectifiedNet, RedGreenNet
from tests.unit.attribution.test_gradients import AS_IT_IS, GREEN, RED, VOCABULARY, map_of, photo
from weakseg.attribution.fusion import FusionGraph, FusionSettings, Part
from weakseg.attribution.placement import sample_smoothly
from weakseg.errors import ModelError
from weakseg.models.grid import Grid


def build(network: Any, **settings: Any) -> FusionGraph:
    return FusionGraph(network, "tiny", VOCABULARY, settings=FusionSettings(**settings), **AS_IT_IS)


RAW_INPUT = (Part(sigma=0),)


@pytest.mark.parametrize("network", [RedGreenNet, RectifiedNet])
def test_class_activation_map_plus_the_gradient_of_its_sum(network: Any) -> None:
    # Class 0: relu(R - G) = 0 6 0 / 0 0 0, over its maximum 0 1 0 / 0 0 0. Its sum's gradient is (1, -1) at A alone.
    graph = build(network(), parts=RAW_INPUT)
    assert map_of(graph, 0, photo(RED, GREEN)) == pytest.approx(np.array([[0, 1, 0], [0, 0, 0]]), abs=1e-6)
    # Class 1: R/2 + G/4 = 2.25 3 0 / 0 0 3; gradient (1/2, 1/4) at P, A and B. (0.75 + 1) / 2 at P.
    assert map_of(graph, 1, photo(RED, GREEN)) == pytest.approx(np.array([[0.875, 1, 0], [0, 0, 1]]), abs=1e-6)


def test_weights_and_reduction_of_a_part() -> None:
    # Class 1, positive weights, at the features: gradient (1/2, 1/4), mean 3/8, stretched 1. 0.75 + 3, 1 + 3: 3.75 / 4.
    parts = (Part("features", weight=3, sigma=0, reduce="mean"),)
    found = map_of(build(RedGreenNet(), parts=parts, positive_weights=True), 1, photo(RED, GREEN))
    assert found == pytest.approx(np.array([[0.9375, 1, 0], [0, 0, 1]]), abs=1e-6)


def test_product_and_gradients_alone() -> None:
    # Class 1: map 0.75 1 0 / 0 0 1, gradient 1 1 0 / 0 0 1.
    images, common = photo(RED, GREEN), {"parts": RAW_INPUT}
    product = map_of(build(RedGreenNet(), combine="product", **common), 1, images)
    assert product == pytest.approx(np.array([[0.75, 1, 0], [0, 0, 1]]), abs=1e-6)
    alone = map_of(build(RedGreenNet(), map_weight=0.0, **common), 1, images)
    assert alone == pytest.approx(np.array([[1, 1, 0], [0, 0, 1]]), abs=1e-6)


def test_gradient_of_the_score_reaches_every_pixel() -> None:
    # Behind global pooling it is the same everywhere, and nothing is left of it once it is stretched.
    graph = build(RedGreenNet(), parts=RAW_INPUT, gradient_of="score")
    assert map_of(graph, 1, photo(RED, GREEN)) == pytest.approx(np.array([[0.75, 1, 0], [0, 0, 1]]), abs=1e-6)


def test_damping_and_power() -> None:
    # Three cells in a row, distances 1/6, 1/2, 1/6 of the width; 1/2 of the height for all of them.
    images = photo([[6, 6, 6]])
    damped = map_of(build(RedGreenNet(), parts=RAW_INPUT, damping=0.8, damping_reach=0.1), 0, images)
    ends, middle = (1 - 0.8 * np.exp(-distance / 0.1) for distance in (1 / 6, 1 / 2))
    assert damped == pytest.approx(np.array([[ends / middle, 1, ends / middle]]), abs=1e-6)
    squared = map_of(build(RedGreenNet(), parts=RAW_INPUT, damping=0.8, damping_reach=0.1, power=2.0), 0, images)
    assert squared == pytest.approx(np.array(damped) ** 2, abs=1e-6)


def test_similarity_spreads_the_seeds() -> None:
    # As in test_cam.py: seeds R = 3 0 4 spread to 1, 0, 0.6; here the gradient adds 1 at both cells where R > 0.
    graph = build(RedGreenNet(), parts=RAW_INPUT, positive_weights=True, similarity=True)
    seeds = np.array([3 / 4 + 1, 0, 1 + 1])
    units = np.array([[1, 0], [0, 1], [0.8, 0.6]])
    means = (units @ (seeds @ units)) / (units @ units.sum(0))
    expected = (means - means.min()) / np.ptp(means)
    assert map_of(graph, 0, photo([[3, 0, 4]], [[0, 5, 3]])) == pytest.approx(expected[None], abs=1e-6)


def test_smoothing_by_hand() -> None:
    # Weights exp(0), exp(-1/2), exp(-2) from the middle of five cells; what the border cuts off is made up for.
    maps = torch.tensor([[[[0.0, 0, 1, 0, 0]]]])
    view, like = torch.zeros(1, 3, 1, 5), torch.zeros(1, 1, 1, 5)
    found = sample_smoothly(maps, view, Grid(), Grid(), like, sigma=0.2)[0, 0, 0]
    kernel = np.exp(-((np.arange(5)[:, None] - np.arange(5)) ** 2) / 2)
    assert found.tolist() == pytest.approx((kernel / kernel.sum(1, keepdims=True))[:, 2])


def test_the_smallest_gaussian_leaves_the_nearest_cell() -> None:
    # Half a cell from the nearest one, sigma is 0.01 cells: exp(-1250) is 0 in any precision.
    maps, view = torch.tensor([[[[2.0, 4.0]]]]), torch.zeros(1, 3, 1, 8)
    target = Grid((1.0, 4.0), (0.0, 1.0))  # at cells 1/4 and 5/4 of the source
    found = sample_smoothly(maps, view, Grid((1.0, 4.0), (0.0, 0.0)), target, torch.zeros(1, 1, 1, 2), sigma=0.005)
    assert found[0, 0, 0].tolist() == [2.0, 4.0]


def test_sampling_of_one_grid_at_the_cells_of_another() -> None:
    maps: Tensor = torch.arange(8.0).reshape(1, 1, 1, 8)
    view, like = torch.zeros(1, 3, 1, 8), torch.zeros(1, 1, 1, 2)
    found = sample_smoothly(maps, view, Grid(), Grid((1.0, 4.0), (0.0, 1.5)), like, sigma=0)
    assert found[0, 0, 0].tolist() == [1.5, 5.5]


def test_a_photo_without_anything_of_the_class_has_an_empty_map() -> None:
    graph = build(RedGreenNet(), parts=RAW_INPUT)
    _, maps, _ = graph(photo([[0, 0, 0]], [[1, 0, 1]]), *as_tensors(ask([[0]], VOCABULARY)))
    assert maps.tolist() == [[[[0, 0, 0]]]]


def test_parts_may_come_from_yaml() -> None:
    settings = FusionSettings(parts=({"layer": "features", "sigma": 0.02},))  # type: ignore[arg-type]
    assert settings.parts == (Part("features", sigma=0.02),)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"parts": ()}, "method cam"),
        ({"parts": ({"weight": 0.0},)}, "a weight above 0"),
        ({"gradient_of": "mask"}, "map or score"),
        ({"damping": 2.0}, "damping"),
        ({"power": 0.0}, "power"),
        ({"combine": "maximum"}, "sum or product"),
        ({"map_weight": -1.0}, "map_weight"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        FusionSettings(**wrong)


def test_an_unknown_layer_is_named() -> None:
    with pytest.raises(ModelError, match=r"no layer 'fire8'\. It has: features"):
        build(RedGreenNet(), spread_layer="fire8")
