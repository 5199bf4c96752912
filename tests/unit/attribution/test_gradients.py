"""Maps by gradients on networks with hand-set weights: every expected number below is worked out on paper.

The photo is that of test_cam.py, 2 x 3 pixels:

    R = 3 6 0      G = 3 0 0
        0 0 0          0 0 12
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.helpers.queries import as_tensors, ask
from tests.helpers.tiny_networks import LeftNeighbourNet, RectifiedNet, RedGreenNet
from weakseg.attribution.cam import CamSettings
from weakseg.attribution.gradcam import GradCamGraph, GradCamSettings
from weakseg.attribution.graph import GraphSettings
from weakseg.attribution.guided import GuidedGraph, GuidedSettings
from weakseg.attribution.layercam import LayerCamGraph, LayerCamSettings
from weakseg.attribution.methods import SETTINGS, build_graph
from weakseg.attribution.saliency import SaliencyGraph, SaliencySettings
from weakseg.card import Weights
from weakseg.errors import ModelError
from weakseg.labels import Vocabulary
from weakseg.models.classifier import Classifier, Normalisation

RED = [[3, 6, 0], [0, 0, 0]]
GREEN = [[3, 0, 0], [0, 0, 12]]
VOCABULARY = Vocabulary(["difference", "both", "green"], {"g": [0, 2]})
AS_IT_IS: dict[str, Any] = {"mean": (0.0, 0.0, 0.0), "std": (1 / 255, 1 / 255, 1 / 255)}


class RectifiedFeatures(RedGreenNet):
    """max(R, 0) and max(G, 0), where ReLU's gradient is 0 at 0; then the linear head."""

    def forward(self, images: Tensor) -> Tensor:
        features = nn.functional.relu(self.features(images))
        return self.head(features.mean((2, 3)))  # type: ignore[no-any-return]


def photo(red: list[list[int]], green: list[list[int]] | None = None) -> Tensor:
    """(1, h, w, 3) uint8."""
    channels = [red, green or np.zeros_like(red), np.zeros_like(red)]
    return torch.from_numpy(np.stack(channels, -1).astype(np.uint8)[None])


def map_of(graph: nn.Module, label: int, images: Tensor, vocabulary: Vocabulary = VOCABULARY) -> list[list[float]]:
    _, maps, chosen = graph(images, *as_tensors(ask([[label]], vocabulary)))
    assert chosen.tolist() == [[label]]
    return maps[0, 0].tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (0, [[1, 1, 1], [1, 1, 0]]),  # relu(R - G + 1/2) lets the gradient (1, -1) pass everywhere but at B
        (1, [[1, 1, 0], [0, 0, 1]]),  # relu(R/2 + G/4), which is exactly 0 where the photo is black: no gradient
        (2, [[1, 0, 0], [0, 0, 1]]),  # relu(G - 1)
        (3, [[1, 1, 1], [1, 1, 1]]),  # means of 0 and 2: (1, 0)/2, (1, -1)/2 ...; at B (0, 1)/2
    ],
)
def test_saliency_is_the_largest_gradient_over_colours(label: int, expected: list[list[float]]) -> None:
    graph = SaliencyGraph(RectifiedNet(), "tiny", VOCABULARY, settings=SaliencySettings(), **AS_IT_IS)
    assert map_of(graph, label, photo(RED, GREEN)) == pytest.approx(np.array(expected), abs=1e-6)


def test_guided_keeps_what_speaks_for_the_class() -> None:
    # Class 0 is R - G: red's gradient is 1 where R > 0, green's is -1 where G > 0.
    network, images = RectifiedFeatures(), photo(RED, GREEN)
    saliency = SaliencyGraph(network, "tiny", VOCABULARY, settings=SaliencySettings(), **AS_IT_IS)
    guided = GuidedGraph(network, "tiny", VOCABULARY, settings=GuidedSettings(), **AS_IT_IS)
    assert map_of(saliency, 0, images) == [[1, 1, 0], [0, 0, 1]]
    assert map_of(guided, 0, images) == [[1, 1, 0], [0, 0, 0]]


def test_maps_are_averaged_over_squares() -> None:
    settings = SaliencySettings(pool_px=2)
    graph = SaliencyGraph(RectifiedFeatures(), "tiny", VOCABULARY, settings=settings, **AS_IT_IS)
    # Class 1 has a gradient where R or G is positive: of the four pixels, then of the next four; the last column drops.
    images = photo([[1, 0, 0, 0, 1], [0, 0, 0, 1, 1]], [[0, 0, 0, 0, 0], [0, 0, 1, 0, 0]])
    # (1/2 + 0) / 4 to (1/4 + 1/2) / 4, as 2 : 3; put where the squares lie, 2.5 pixels to each of two cells.
    place = (1.25 - 1) / 2  # the first cell's centre, in squares
    expected = [2 + place, 3]
    assert map_of(graph, 1, images) == pytest.approx(np.array([expected]) / 3, abs=1e-6)


def test_a_mirrored_view_is_mirrored_back() -> None:
    # The network does not see the last column; of the mirrored photo it does not see the first one.
    vocabulary, images = Vocabulary(["red"]), photo([[0, 6, 2]])
    settings = SaliencySettings(flip=True)
    graph = SaliencyGraph(LeftNeighbourNet(), "tiny", vocabulary, settings=settings, **AS_IT_IS)
    assert map_of(graph, 0, images, vocabulary) == [[0.5, 1, 0.5]]


def test_gradcam_behind_global_pooling_is_cam() -> None:
    graph = GradCamGraph(RedGreenNet(), "tiny", VOCABULARY, settings=GradCamSettings(), **AS_IT_IS)
    assert graph.settings.layer == "features"
    assert map_of(graph, 0, photo(RED, GREEN)) == pytest.approx(np.array([[0, 1, 0], [0, 0, 0]]), abs=1e-6)
    assert map_of(graph, 1, photo(RED, GREEN)) == pytest.approx(np.array([[0.75, 1, 0], [0, 0, 1]]), abs=1e-6)


def test_layercam_keeps_positive_gradients_position_by_position() -> None:
    # Class 0 of the rectified head at the features: gradient (1, -1), 0 at B. Positive part times features: R, 0 at B.
    graph = LayerCamGraph(RectifiedNet(), "tiny", VOCABULARY, settings=LayerCamSettings(), **AS_IT_IS)
    assert graph.settings.layer == "features", "class maps are no features"
    assert map_of(graph, 0, photo(RED, GREEN)) == pytest.approx(np.array([[0.5, 1, 0], [0, 0, 0]]), abs=1e-6)


def test_a_layer_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(ModelError, match=r"no layer 'conv5'\. It has: features"):
        GradCamGraph(RedGreenNet(), "tiny", VOCABULARY, settings=GradCamSettings(layer="conv5"), **AS_IT_IS)


@pytest.mark.parametrize("graph", [GradCamGraph, LayerCamGraph])
def test_without_features_before_the_class_maps_a_layer_must_be_chosen(graph: type[GradCamGraph]) -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ModelError, match=r"No convolution but that of the class maps\. Choose a layer: _0"):
        graph(network, "tiny", VOCABULARY, **AS_IT_IS)


def test_scores_do_not_depend_on_the_method() -> None:
    weights = Weights(source="worked out on paper", licence="CC0-1.0", sha256="none")
    normalisation = Normalisation((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255))
    classifier = Classifier("tiny", RectifiedNet(), VOCABULARY.classes, normalisation, weights)
    query = as_tensors(ask([[-1, 0]], VOCABULARY))
    changes: dict[str, Any] = {"dcsm": {"layers": ("features",)}}
    every = [make(**changes.get(method, {})) for method, make in SETTINGS.items() if method != "joint"]  # no class map
    scores = [
        build_graph(classifier, VOCABULARY, settings, multi_label=False)(photo(RED, GREEN), *query)[0]
        for settings in every
    ]
    assert {settings.method for settings in every} == {
        "cam", "saliency", "guided", "dcsm", "gradcam", "layercam", "fusion",
    }  # fmt: skip
    for found in scores[1:]:
        torch.testing.assert_close(found, scores[0])


@pytest.mark.parametrize(
    ("make", "wrong", "message"),
    [
        (SaliencySettings, {"pool_px": 0}, "pool_px = 0"),
        (GuidedSettings, {"pool_px": 64}, "pool_px = 64"),
        (GradCamSettings, {"scales": ()}, "scales"),
        (CamSettings, {"contrast": 0.5}, "contrast"),
    ],
)
def test_wrong_settings_are_refused(make: type[GraphSettings], wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        make(**wrong)
