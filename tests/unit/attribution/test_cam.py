"""Class activation maps of networks with hand-set weights: every expected number below is worked out on paper.

The photo is 2 x 3 pixels. Red R and green G, with P = (0, 0), A = (0, 1), B = (1, 2):

    R = 3 6 0      G = 3 0 0      mean R = 1.5
        0 0 0          0 0 12     mean G = 2.5

Class 0 is R - G (bias 0.5), class 1 is R/2 + G/4, class 2 is G (bias -1); the group "g" has classes 0 and 2.
Logits: 1.5 - 2.5 + 0.5 = -0.5;  0.75 + 0.625 = 1.375;  2.5 - 1 = 1.5.
"""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.helpers.queries import as_tensors, ask
from tests.helpers.tiny_networks import LeftNeighbourNet, RectifiedNet, RedGreenNet
from weakseg.attribution.cam import CamGraph, CamSettings
from weakseg.errors import ModelError
from weakseg.labels import Vocabulary
from weakseg.models.split import split_network
from weakseg.types import NO_LABEL

RED = [[3, 6, 0], [0, 0, 0]]
GREEN = [[3, 0, 0], [0, 0, 12]]
LOGITS = np.array([-0.5, 1.375, 1.5])
GROUP = 3  # its label index
VOCABULARY = Vocabulary(["difference", "both", "green"], {"g": [0, 2]})


def photo(red: list[list[int]], green: list[list[int]] | None = None) -> Tensor:
    """(1, h, w, 3) uint8."""
    channels = [red, green or np.zeros_like(red), np.zeros_like(red)]
    return torch.from_numpy(np.stack(channels, -1).astype(np.uint8)[None])


def build(
    network: nn.Module, vocabulary: Vocabulary = VOCABULARY, *, multi_label: bool = False, **settings: object
) -> CamGraph:
    """A graph whose normalisation leaves pixel values as they are."""
    return CamGraph(
        split_network(network, "tiny"),
        vocabulary,
        mean=(0.0, 0.0, 0.0),
        std=(1 / 255, 1 / 255, 1 / 255),
        settings=CamSettings(**settings),  # type: ignore[arg-type]
        multi_label=multi_label,
    )


def run(
    graph: CamGraph, images: Tensor, labels: list[list[int]], vocabulary: Vocabulary = VOCABULARY
) -> tuple[Tensor, Tensor, Tensor]:
    result: tuple[Tensor, Tensor, Tensor] = graph(images, *as_tensors(ask(labels, vocabulary)))
    return result


def map_of(
    graph: CamGraph, label: int, images: Tensor | None = None, vocabulary: Vocabulary = VOCABULARY
) -> list[list[float]]:
    _, maps, chosen = run(graph, photo(RED, GREEN) if images is None else images, [[label]], vocabulary)
    assert chosen.tolist() == [[label]]
    return maps[0, 0].tolist()


def softmax(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits) / np.exp(logits).sum()


def test_scores_are_the_softmax_and_a_group_has_the_sum_of_its_members() -> None:
    scores, _, _ = run(build(RedGreenNet()), photo(RED, GREEN), [[0]])
    probs = softmax(LOGITS)
    assert scores[0].tolist() == pytest.approx([*probs, probs[0] + probs[2]], abs=1e-6)


def test_multi_label_scores_are_sigmoids_and_a_group_has_the_largest() -> None:
    scores, _, _ = run(build(RedGreenNet(), multi_label=True), photo(RED, GREEN), [[0]])
    probs = 1 / (1 + np.exp(-LOGITS))
    assert scores[0].tolist() == pytest.approx([*probs, probs[2]], abs=1e-6)


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (0, [[0, 1, 0], [0, 0, 0]]),  # R - G is 0 at P, 6 at A, -12 at B
        (1, [[0.75, 1, 0], [0, 0, 1]]),  # 2.25, 3, 3
        (2, [[0.25, 0, 0], [0, 0, 1]]),  # 3, 0, 12
        (GROUP, [[0.5, 1, 0], [0, 0, 0]]),  # ((R - G) + G) / 2 = R / 2: combined before the negative part goes
    ],
)
def test_map_of_a_linear_head(label: int, expected: list[list[float]]) -> None:
    assert map_of(build(RedGreenNet()), label) == pytest.approx(np.array(expected), abs=1e-6)


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (0, [[0.5, 1, 0], [0, 0, 0]]),  # R alone
        (GROUP, [[0.5, 0.5, 0], [0, 0, 1]]),  # (R + G) / 2: 3, 3, 6
    ],
)
@pytest.mark.parametrize("network", [RedGreenNet, RectifiedNet])
def test_positive_weights_change_maps_of_both_heads_alike(
    network: type[nn.Module], label: int, expected: list[list[float]]
) -> None:
    assert map_of(build(network(), positive_weights=True), label) == pytest.approx(np.array(expected), abs=1e-6)


def test_positive_weights_leave_scores_alone() -> None:
    images = photo(RED, GREEN)
    plain, positive = (run(build(RedGreenNet(), positive_weights=flag), images, [[0]])[0] for flag in (False, True))
    assert torch.equal(plain, positive)


def test_map_of_a_rectified_head_has_the_bias_inside_and_its_mean_is_the_logit() -> None:
    graph = build(RectifiedNet())
    # relu(R - G + 0.5) is 0.5 at P, 6.5 at A, 0 at B, and 0.5 at the three other pixels.
    expected = np.array([[0.5, 6.5, 0.5], [0.5, 0.5, 0]])
    assert map_of(graph, 0) == pytest.approx(expected / 6.5, abs=1e-6)
    scores, _, _ = run(graph, photo(RED, GREEN), [[0]])
    # Class 1 has no bias and no negative part: 8.25 / 6 = 1.375. Class 2, relu(G - 1): 2 at P, 11 at B.
    logits = np.array([expected.mean(), 1.375, 13 / 6])
    assert scores[0, :3].tolist() == pytest.approx(softmax(logits), abs=1e-6)


def test_group_of_a_rectified_head_is_the_mean_after_the_relu() -> None:
    # Class 0: 0.5, 6.5, 0, else 0.5; class 2, relu(G - 1): 2 at P, 11 at B, else 0.
    expected = np.array([[2.5, 6.5, 0.5], [0.5, 0.5, 11]]) / 11
    assert map_of(build(RectifiedNet()), GROUP) == pytest.approx(expected, abs=1e-6)


def test_softmax_weighting_renormalises_the_members_probabilities() -> None:
    # Logits -0.5 and 1.5 at temperature 2 / ln 3: weights 1/4 and 3/4. (R - G)/4 + 3 G/4 = R/4 + G/2: 2.25, 1.5, 6.
    graph = build(RedGreenNet(), member_weighting="softmax", temperature=2 / math.log(3))
    assert map_of(graph, GROUP) == pytest.approx(np.array([[0.375, 0.25, 0], [0, 0, 1]]), abs=1e-6)
    assert map_of(graph, 1) == pytest.approx(np.array([[0.75, 1, 0], [0, 0, 1]]), abs=1e-6)  # a class is itself


@pytest.mark.parametrize(
    ("contrast", "expected"),
    [
        (1.0, [[0, 1, 0], [0, 0, 0]]),
        (0.5, [[16.5 / 48, 1, 0], [0, 0, 0]]),
    ],
)
def test_contrast_subtracts_the_mean_class(contrast: float, expected: list[list[float]]) -> None:
    # Positive weights: (1, 0), (1/2, 1/4), (0, 1), mean (1/2, 5/12), scaled to the sum 1 of class 0: (6, 5) / 11.
    # Class 0 less all of it: (5, -5) / 11, which is R - G. Less half: (8, -2.5) / 11: 16.5 at P, 48 at A, -30 at B.
    graph = build(RedGreenNet(), positive_weights=True, contrast=contrast)
    assert map_of(graph, 0) == pytest.approx(np.array(expected), abs=1e-6)


def test_similarity_averages_over_cells_with_similar_features() -> None:
    # Features (3, 0), (0, 5), (4, 3): unit vectors (1, 0), (0, 1), (.8, .6). Seeds R = 3 0 4.
    # Sum of m u: (6.2, 2.4); sum of u: (1.8, 1.6). Means: 6.2 / 1.8 = 31/9, 1.5, 6.4 / 2.4 = 8/3.
    # Less 1.5: 35/18, 0, 7/6; over the first: 1, 0, 0.6.
    graph = build(RedGreenNet(), positive_weights=True, similarity=True)
    images = photo([[3, 0, 4]], [[0, 5, 3]])
    assert map_of(graph, 0, images) == pytest.approx(np.array([[1, 0, 0.6]]), abs=1e-6)


def test_similarity_of_uniform_features_and_of_a_zero_map_is_no_number_gone_wrong() -> None:
    graph = build(RedGreenNet(), positive_weights=True, similarity=True)
    assert map_of(graph, 0, photo([[2, 2, 2]], [[1, 1, 1]])) == [[1, 1, 1]]
    assert map_of(graph, 0, photo([[0, 0, 0]], [[1, 0, 1]])) == [[0, 0, 0]]


def test_negative_labels_ask_by_rank_among_groups_and_ungrouped_classes() -> None:
    # Class 1 has 0.437, the group 0.563; classes 0 and 2 are in the group and do not compete.
    images = torch.cat([photo(RED, GREEN), photo(RED)])  # second photo: logits 2, 0.75, -1
    scores, maps, chosen = run(build(RedGreenNet()), images, [[-1, -2, -5, 0], [-2, 2, -1, 3]])
    assert chosen.tolist() == [[GROUP, 1, 1, 0], [1, 2, GROUP, GROUP]]
    assert scores[0, GROUP] > scores[0, 1]
    assert torch.equal(maps[0, 1], maps[0, 2])
    assert maps[1, 0].tolist() == pytest.approx(np.array([[0.5, 1, 0], [0, 0, 0]]))


def test_only_those_that_compete_are_ranked_and_fills_change_nothing() -> None:
    # Scores of the first photo: class 0 0.059, class 1 0.383, class 2 0.434.
    labels, among = [[-1, -2, -3]], [[1, 0]]
    filled = torch.tensor([[NO_LABEL, 1, NO_LABEL, 0, NO_LABEL]])
    no_rivals = torch.zeros(1, 0, dtype=torch.int64)
    plain, padded = (
        build(RedGreenNet())(photo(RED, GREEN), torch.tensor(labels), competing, no_rivals)
        for competing in (torch.tensor(among), filled)
    )
    assert plain[2].tolist() == [[1, 0, 0]]
    assert all(torch.equal(one, other) for one, other in zip(plain, padded, strict=True))


def test_a_map_without_a_positive_part_is_all_zero() -> None:
    assert map_of(build(RedGreenNet()), 0, photo([[0, 0, 0], [0, 0, 0]], GREEN)) == [[0, 0, 0], [0, 0, 0]]


def test_mirrored_view_is_mirrored_back() -> None:
    # f is R without its last column: 0 6. Mirrored, then mirrored back, it is R without its first: 6 2. Mean: 3 4.
    images, vocabulary = photo([[0, 6, 2]]), Vocabulary(["red"])
    assert map_of(build(LeftNeighbourNet(), vocabulary), 0, images, vocabulary) == pytest.approx(np.array([[0, 1]]))
    assert map_of(build(LeftNeighbourNet(), vocabulary, flip=True), 0, images, vocabulary) == pytest.approx(
        np.array([[0.75, 1]])
    )


def test_logits_are_averaged_over_views() -> None:
    # Means of 0 6 and of 6 2: (3 + 4) / 2 = 3.5.
    graph = build(LeftNeighbourNet(), Vocabulary(["red"]), flip=True, multi_label=True)
    scores, _, _ = run(graph, photo([[0, 6, 2]]), [[0]], Vocabulary(["red"]))
    assert scores.item() == pytest.approx(1 / (1 + math.exp(-3.5)), abs=1e-6)


def test_smaller_view_is_resized_back_and_averaged() -> None:
    # Half size: the mean of 2 x 2 pixels, 1 0. Back at full width, half-pixel centres: 1 .75 .25 0, both rows.
    # Mean with R: 2.5 .375 .125 0 and .5 .375 .125 0.
    expected = np.array([[2.5, 0.375, 0.125, 0], [0.5, 0.375, 0.125, 0]]) / 2.5
    graph = build(RedGreenNet(), scales=(1.0, 0.5))
    maps = map_of(graph, 1, photo([[4, 0, 0, 0], [0, 0, 0, 0]]))
    assert maps == pytest.approx(expected, abs=1e-6)


def test_normalisation_uses_mean_and_std_of_each_channel() -> None:
    graph = CamGraph(split_network(RedGreenNet(), "tiny"), VOCABULARY, mean=(0.2, 0.4, 0.0), std=(0.5, 0.25, 1.0))
    scores, _, _ = run(graph, torch.full((1, 2, 3, 3), 255, dtype=torch.uint8), [[0]])
    red, green = 1.6, 2.4  # (1 - 0.2) / 0.5, (1 - 0.4) / 0.25
    logits = np.array([red - green + 0.5, red / 2 + green / 4, green - 1])
    assert scores[0, :3].tolist() == pytest.approx(softmax(logits), abs=1e-5)


def test_inputs_and_network_are_left_as_they_were() -> None:
    network = RectifiedNet().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    given = (photo(RED, GREEN), *as_tensors(ask([[-1, 0]], VOCABULARY)))
    given_before = [tensor.clone() for tensor in given]
    build(network, scales=(1.0, 2.0), flip=True)(*given)
    assert all(torch.equal(tensor, before) for tensor, before in zip(given, given_before, strict=True))
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scales": ()}, "scales"),
        ({"scales": (1.0, 9.0)}, "scales"),
        ({"member_weighting": "max"}, "mean or softmax"),
        ({"temperature": 0.0}, "temperature"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        CamSettings(**settings)  # type: ignore[arg-type]


def test_class_names_must_fit_the_network() -> None:
    with pytest.raises(ModelError, match="3 classes, not the 2"):
        build(RedGreenNet(), Vocabulary(["a", "b"]))
