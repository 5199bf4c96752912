"""Maps and scores of the joint graph: by hand on a network of two colours, and by NumPy on a real one.

The photo, whose class maps are R - G + 0.5, R/2 + G/4 and G - 1; the group "g" has the first and the last:

    R = 3 6 0      G = 3 0 0      0.5 6.5   0.5      2.25 3 0       2 -1 -1
        0 0 0          0 0 12     0.5 0.5 -11.5      0    0 3      -1 -1 11
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.helpers.queries import as_tensors, ask
from tests.helpers.tiny_networks import ColourMapNet
from weakseg.attribution.joint import JointGraph, JointSettings
from weakseg.attribution.methods import build_graph
from weakseg.errors import ModelError, UnsupportedNetworkError
from weakseg.labels import Vocabulary
from weakseg.models.aggregation import Average, LogSumExp, Maximum
from weakseg.models.class_map import find_class_map
from weakseg.models.classifier import load_classifier

CHANNELS = np.uint8([[[3, 3, 0], [6, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 0], [0, 12, 0]]])
PHOTO = torch.from_numpy(CHANNELS[None])  # (1, 2, 3, 3)
GROUP = 3
VOCABULARY = Vocabulary(["difference", "both", "green"], {"g": [0, 2]})


def build(aggregate: nn.Module | None = None, *, multi_label: bool = True, **settings: object) -> JointGraph:
    """A graph whose normalisation leaves pixel values as they are."""
    return JointGraph(
        find_class_map(ColourMapNet(aggregate or Average()), "tiny"),
        VOCABULARY,
        mean=(0.0, 0.0, 0.0),
        std=(1 / 255, 1 / 255, 1 / 255),
        settings=JointSettings(**settings),  # type: ignore[arg-type]
        multi_label=multi_label,
    )


def run(graph: JointGraph, labels: list[list[int]], images: Tensor = PHOTO) -> tuple[Tensor, Tensor, Tensor]:
    result: tuple[Tensor, Tensor, Tensor] = graph(images, *as_tensors(ask(labels, VOCABULARY)))
    return result


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (0, np.array([[0.5, 6.5, 0.5], [0.5, 0.5, 0]]) / 6.5),
        (1, np.array([[2.25, 3, 0], [0, 0, 3]]) / 3),
        (2, np.array([[2, 0, 0], [0, 0, 11]]) / 11),
        (GROUP, np.array([[1.25, 2.75, 0], [0, 0, 0]]) / 2.75),  # R/2 - 1/4: combined before the negative part goes
    ],
)
@pytest.mark.parametrize("aggregate", [Average(), LogSumExp(), Maximum()], ids=["average", "lse", "maximum"])
def test_maps_have_the_bias_inside_and_do_not_hang_on_the_aggregation(
    aggregate: nn.Module, label: int, expected: np.ndarray
) -> None:
    _, maps, chosen = run(build(aggregate), [[label]])
    assert chosen.tolist() == [[label]]
    assert maps[0, 0].numpy() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("aggregate", "logits"),
    [
        (Average(), [-0.5, 1.375, 1.5]),
        (Maximum(), [6.5, 3.0, 11.0]),
        (LogSumExp(1.0), [math.log((4 * math.exp(0.5) + math.exp(6.5) + math.exp(-11.5)) / 6), None, None]),
    ],
    ids=["average", "maximum", "lse"],
)
def test_scores_come_from_the_aggregated_map(aggregate: nn.Module, logits: list[float | None]) -> None:
    scores, _, _ = run(build(aggregate), [[0]])
    expected = [None if logit is None else 1 / (1 + math.exp(-logit)) for logit in logits]
    for found, wanted in zip(scores[0].tolist(), expected, strict=False):
        assert wanted is None or found == pytest.approx(wanted, abs=1e-6)
    assert scores[0, GROUP] == max(scores[0, 0], scores[0, 2])


def test_labels_by_rank_follow_the_aggregation() -> None:
    # Class 1 competes with the group. Averages: 1.375 against 1.5; of the photo's left column 1.125 against 0.5.
    images = torch.cat([PHOTO[:, :, :1], PHOTO[:, :, 2:]])  # (2, 2, 1, 3): R 3, 0 and G 3, 0; then G 0, 12
    _, _, chosen = run(build(), [[-1, -2], [-1, -2]], images)
    assert chosen.tolist() == [[1, GROUP], [GROUP, 1]]


def test_all_of_the_range_can_be_kept() -> None:
    _, maps, _ = run(build(least_share=1.0), [[0, 2]])
    assert maps[0, 0].numpy() == pytest.approx(np.array([[12, 18, 12], [12, 12, 0]]) / 18, abs=1e-6)
    assert maps[0, 1].numpy() == pytest.approx(np.array([[3, 0, 0], [0, 0, 12]]) / 12, abs=1e-6)


@pytest.mark.parametrize(
    ("green", "kept", "cut"),
    [
        ([4, 2, 4], [0, 1, 0], [0, 0, 0]),  # -3.5 -1.5 -3.5: a quarter of the range is 0.5
        ([20, 0, 3], [0, 1, 0.4], [0, 1, 0]),  # -19.5 0.5 -2.5: above -4.5 lie 5 and 2
        ([3, 3, 3], [0, 0, 0], [0, 0, 0]),  # no range, nothing positive
    ],
)
def test_a_quarter_of_the_range_is_kept_of_maps_that_are_hardly_positive(
    green: list[int], kept: list[float], cut: list[float]
) -> None:
    images = torch.zeros(1, 1, 3, 3, dtype=torch.uint8)
    images[0, 0, :, 1] = torch.tensor(green)
    assert run(build(), [[0]], images)[1][0, 0, 0].tolist() == pytest.approx(kept, abs=1e-6)
    assert run(build(least_share=0.0), [[0]], images)[1][0, 0, 0].tolist() == cut


def test_views_are_averaged_before_the_negative_part_goes() -> None:
    # Half size: red 4 0 0 0 over two rows is 1 0, and back 1 .75 .25 0. R/2 of both: (2 + .5) / 2 ...; no bias.
    images = torch.zeros(1, 2, 4, 3, dtype=torch.uint8)
    images[0, 0, 0, 0] = 4
    _, maps, _ = run(build(scales=(1.0, 0.5)), [[1]], images)
    expected = np.array([[2.5, 0.375, 0.125, 0], [0.5, 0.375, 0.125, 0]]) / 2.5
    assert maps[0, 0].numpy() == pytest.approx(expected, abs=1e-6)


def test_a_mirrored_view_gives_the_same_cells_where_the_network_is_symmetric() -> None:
    plain, flipped = (run(build(Maximum(), flip=flag), [[0, 1]]) for flag in (False, True))
    for one, other in zip(plain, flipped, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("network", ["joint_squeezenet1_1_lse", "joint_mobilenet_v2_max"])
def test_cells_are_put_where_they_lie_as_numpy_does_it(network: str) -> None:
    torch.manual_seed(0)
    classifier = load_classifier(network, "random", num_classes=4)
    graph = build_graph(classifier, Vocabulary(list("abcd"), {"pair": [1, 2]}), JointSettings(), multi_label=True)
    images = torch.randint(0, 256, (2, 83, 130, 3), dtype=torch.uint8)
    found = graph(images, *as_tensors(ask([[3, 4], [0, 1]], Vocabulary(list("abcd"), {"pair": [1, 2]}))))
    mean, std = (torch.tensor(values) for values in (classifier.normalisation.mean, classifier.normalisation.std))
    pixels = ((images / 255 - mean) / std).permute(0, 3, 1, 2)  # (B, 3, h, w)
    with torch.no_grad():
        class_map = classifier.model.class_map(pixels).double().numpy()  # type: ignore[operator]  # (B, C, h', w')
        logits = classifier.model(pixels).double().numpy()
    first_px = 15 if "squeezenet" in network else 0
    for photo, label, members in ((0, 0, [3]), (0, 1, [1, 2]), (1, 0, [0]), (1, 1, [1])):
        cells = class_map[photo, members].mean(0)
        for axis, length_px in ((0, 83), (1, 130)):
            count = cells.shape[axis]
            wanted = ((np.arange(count) + 0.5) * length_px / count - 0.5 - first_px) / 16
            cells = np.apply_along_axis(lambda row, at=wanted: np.interp(at, np.arange(len(row)), row), axis, cells)
        lifted = np.maximum(cells - min(0, cells.max() - 0.25 * np.ptp(cells)), 0)
        expected = lifted / lifted.max()
        assert found[1][photo, label].detach().numpy() == pytest.approx(expected, abs=1e-4)
    assert found[0][:, :4].detach().numpy() == pytest.approx(1 / (1 + np.exp(-logits)), abs=1e-5)


def test_wrong_settings_classes_and_networks_are_refused() -> None:
    with pytest.raises(ModelError, match=r"least_share = 1\.5: give a number from 0 to 1"):
        JointSettings(least_share=1.5)
    with pytest.raises(ModelError, match="tiny has 3 classes, not the 2 that are named"):
        JointGraph(find_class_map(ColourMapNet(Average()), "tiny"), Vocabulary(["a", "b"]), mean=(0,) * 3, std=(1,) * 3)
    classifier = load_classifier("demo", "random", num_classes=3)
    with pytest.raises(UnsupportedNetworkError, match="demo has no class map"):
        build_graph(classifier, VOCABULARY, JointSettings(), multi_label=False)
