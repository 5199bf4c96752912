"""DCSM: its steps by hand, and all of it against a plain one with autograd."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.helpers.queries import as_tensors, ask
from weakseg.attribution.dcsm import DcsmGraph, DcsmSettings, Wanted, find_first, resolve_rivals, subtract_rivals
from weakseg.errors import ModelError
from weakseg.labels import Vocabulary
from weakseg.models.classifier import build_network
from weakseg.models.tape import record_tape
from weakseg.query import join_queries
from weakseg.types import NO_LABEL

VOCABULARY = Vocabulary(["a", "b", "c", "d", "e"], {"pair": [1, 3]})
AS_IT_IS: dict[str, Any] = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
LAYERS = ("steps_1", "steps_3", "steps_5")
#          a    b    c    d    e   pair
SCORES = [0.1, 0.3, 0.2, 0.05, 0.35, 0.4]


class Stairs(nn.Module):
    """Convolutions at strides 4, 8 and 16 whose cells divide the photo evenly, class maps, global maximum."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.Sequential(
            nn.Conv2d(3, 6, 4, stride=4), nn.ReLU(inplace=True),
            nn.Conv2d(6, 8, 2, stride=2), nn.ReLU(inplace=True),
            nn.Conv2d(8, 8, 2, stride=2), nn.ReLU(inplace=True),
        )  # fmt: skip
        self.classes = nn.Conv2d(8, 5, 1)
        self.pool = nn.AdaptiveMaxPool2d(1)

    def forward(self, images: Tensor) -> Tensor:
        return self.pool(self.classes(self.steps(images))).flatten(1)  # type: ignore[no-any-return]


@pytest.fixture
def network() -> Stairs:
    torch.manual_seed(3)
    return Stairs()


@pytest.fixture
def images() -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randint(0, 256, (3, 64, 96, 3), dtype=torch.uint8, generator=generator)


class GuidedRelu(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        context.save_for_backward(values)
        return values.relu()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        (values,) = context.saved_tensors
        return gradient.relu() * (values > 0)


def squash(array: np.ndarray) -> np.ndarray:
    return np.tanh(3 * array / max(array.max(), 1e-12))


def plain_dcsm(network: Stairs, image: Tensor, labels: list[list[float]], wanted: int) -> list[np.ndarray]:
    """As the docstring of weakseg.attribution.dcsm says it, one step after the other.

    Args:
        image: (1, 3, h, w).
        labels: Per contender, its weights of the five classes.
        wanted: How many of them get a map.
    """
    layers, values = [], image
    for step in network.steps:
        values = GuidedRelu.apply(values) if isinstance(step, nn.ReLU) else step(values)
        if isinstance(step, nn.ReLU):
            values = values * 1
            layers.append(values)
    class_maps = network.classes(values)  # (1, 5, h / 16, w / 16)
    maps: list[list[np.ndarray]] = []  # per layer, per contender
    for layer in layers:
        signals = [(class_maps * torch.tensor(mix)[:, None, None]).sum() for mix in labels]
        gradients = [torch.autograd.grad(signal, layer, retain_graph=True)[0] for signal in signals]
        maps.append([gradient[0].amax(0).numpy() for gradient in gradients])
    found = []
    for label in range(wanted):
        total: Any = 0
        for of_layer in maps:
            own = of_layer[label]
            ahead = [np.maximum(own - other, 0) for index, other in enumerate(of_layer) if index != label]
            distinct = squash(sum(map(squash, ahead)) if ahead else np.maximum(own, 0))
            total = (
                total
                + nn.functional.interpolate(
                    torch.from_numpy(distinct)[None, None], size=maps[0][0].shape, mode="bilinear", align_corners=False
                )[0, 0].numpy()
            )
        found.append(total / total.max())
    return found


def one_hot(*classes: int) -> list[list[float]]:
    return torch.eye(5)[list(classes)].tolist()  # type: ignore[no-any-return]


def run(graph: DcsmGraph, images: Tensor, *query: Tensor) -> tuple[np.ndarray, list[list[int]]]:
    with torch.no_grad():
        _, maps, chosen = graph(images, *query)
    return maps.numpy(), chosen.tolist()


@pytest.mark.parametrize("rivals", [0, 1, 2])
def test_all_of_it_against_a_plain_one(network: Stairs, images: Tensor, rivals: int) -> None:
    vocabulary = Vocabulary(VOCABULARY.classes)
    graph = DcsmGraph(network, "stairs", vocabulary, **AS_IT_IS)
    assert graph.settings.layers == LAYERS
    found, _ = run(graph, images[:1], *as_tensors(ask([[2, 0]], vocabulary, rivals=rivals)))
    pixels = images[:1].permute(0, 3, 1, 2) / 255  # (1, 3, h, w)
    scores = network(pixels)[0].detach()
    others = sorted({0, 1, 2, 3, 4} - {0, 2}, key=lambda label: -float(scores[label]))[:rivals]
    if rivals:
        expected = plain_dcsm(network, pixels, one_hot(2, 0, *others), 2)
    else:
        expected = [plain_dcsm(network, pixels, one_hot(label), 1)[0] for label in (2, 0)]
    assert found.shape == (1, 2, 16, 24)
    np.testing.assert_allclose(found[0], expected, atol=2e-5)
    assert all(np.ptp(each) > 0.05 for each in found[0])


def test_all_labels_asked_for_subtract_one_another_though_no_rival_is_left(network: Stairs, images: Tensor) -> None:
    vocabulary = Vocabulary(VOCABULARY.classes)
    graph = DcsmGraph(network, "stairs", vocabulary, **AS_IT_IS)
    found, _ = run(graph, images[:1], *as_tensors(ask([[0, 1, 2, 3, 4]], vocabulary, rivals=1)))
    pixels = images[:1].permute(0, 3, 1, 2) / 255  # (1, 3, h, w)
    np.testing.assert_allclose(found[0], plain_dcsm(network, pixels, one_hot(0, 1, 2, 3, 4), 5), atol=2e-5)


def test_a_group_sends_the_mean_of_its_members(network: Stairs, images: Tensor) -> None:
    graph = DcsmGraph(network, "stairs", VOCABULARY, **AS_IT_IS)
    found, _ = run(graph, images[:1], *as_tensors(ask([[5]], VOCABULARY)))
    pixels = images[:1].permute(0, 3, 1, 2) / 255  # (1, 3, h, w)
    np.testing.assert_allclose(found[0], plain_dcsm(network, pixels, [[0, 0.5, 0, 0.5, 0]], 1), atol=2e-5)


def test_neighbours_and_filled_up_rows_change_nothing(network: Stairs, images: Tensor) -> None:
    graph = DcsmGraph(network, "stairs", VOCABULARY, **AS_IT_IS)
    asked = [ask([[4]], VOCABULARY, rivals=2), ask([[5, 0, -1]], VOCABULARY), ask([[2, 4]], VOCABULARY, rivals=3)]
    together, chosen = run(graph, images, *as_tensors(join_queries(asked)))
    assert chosen[0] == [4, 4, 4]
    for index, query in enumerate(asked):
        alone, _ = run(graph, images[index : index + 1], *as_tensors(query))
        np.testing.assert_allclose(together[index, : alone.shape[1]], alone[0], atol=1e-5)


def test_several_scales_have_the_first_ones_size(network: Stairs, images: Tensor) -> None:
    graph = DcsmGraph(network, "stairs", VOCABULARY, settings=DcsmSettings(scales=(1.0, 0.5)), **AS_IT_IS)
    found, _ = run(graph, images, *as_tensors(ask([[0], [1], [2]], VOCABULARY, rivals=1)))
    assert found.shape == (3, 1, 16, 24)
    assert found.max() == 1


def contest(labels: list[int], rivals: list[int]) -> tuple[list[int], list[float]]:
    scores = torch.tensor([SCORES])
    empty = torch.zeros(0)
    wanted = Wanted(torch.tensor([labels]), empty, torch.tensor([rivals]), scores, empty)
    candidates = torch.from_numpy(np.flatnonzero(VOCABULARY.rankable()))  # a, c, e, pair
    found, real = resolve_rivals(wanted, candidates, torch.from_numpy(VOCABULARY.membership()))
    return found[0].tolist(), real[0].tolist()


def test_rivals_are_the_best_of_those_that_compete_and_are_not_asked_for() -> None:
    assert contest([0], [-1, -2]) == ([5, 4], [1, 1])
    assert contest([5], [-1, -2]) == ([4, 2], [1, 1])


def test_a_group_is_no_rival_of_its_own_member() -> None:
    assert contest([1], [-1]) == ([4], [1])


def test_more_rivals_than_there_are_and_fills_do_not_count() -> None:
    _, real = contest([0, 4], [-1, -2, -3, NO_LABEL])  # c and the pair are left
    assert real == [1, 1, 0, 0]


def test_repeated_labels_count_once() -> None:
    assert find_first(torch.tensor([[3, 1, 3, 3], [2, 2, 1, 1]])).tolist() == [[1, 1, 0, 0], [1, 0, 1, 0]]


def test_subtraction_by_hand() -> None:
    # V of two contenders on two cells: (3, 1) and (1, 2). Ahead: (2, 0), squashed: (tanh 3, 0); and so once more.
    signals, subtracts = torch.tensor([[[[3.0, 1.0]], [[1.0, 2.0]]]]), torch.tensor([[[0.0, 1.0]]])
    assert subtract_rivals(signals, subtracts)[0, 0, 0].tolist() == pytest.approx([np.tanh(3), 0])
    # Without rivals: (3, 1) / 3, times 3, tanh.
    assert subtract_rivals(signals, 0 * subtracts)[0, 0, 0].tolist() == pytest.approx([np.tanh(3), np.tanh(1)])


def test_vgg16_has_the_papers_nine_layers() -> None:
    with torch.device("meta"):
        network = build_network("vgg16", 20).features
    small = nn.Sequential(network, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 20)).to_empty(device="cpu")
    for parameter in small.parameters():
        nn.init.normal_(parameter, std=0.01)
    graph = DcsmGraph(small, "vgg16", Vocabulary([str(index) for index in range(20)]), **AS_IT_IS)
    numbers = [int(layer.rpartition("_")[2]) for layer in graph.settings.layers]
    assert numbers == [11, 13, 15, 18, 20, 22, 25, 27, 29]  # the ReLUs behind conv3_1 to conv5_3


def test_networks_without_such_strides_need_layers() -> None:
    plain = nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ModelError, match="Choose layers"):
        DcsmGraph(plain, "plain", Vocabulary(VOCABULARY.classes), **AS_IT_IS)
    layers = record_tape(plain, "plain").layers
    settings = DcsmSettings(layers=layers)
    assert DcsmGraph(plain, "plain", Vocabulary(VOCABULARY.classes), settings=settings, **AS_IT_IS).finest == layers[0]
    with pytest.raises(ModelError, match=r"no layers \['conv9'\]"):
        DcsmGraph(plain, "plain", Vocabulary(VOCABULARY.classes), settings=DcsmSettings(layers=("conv9",)), **AS_IT_IS)
