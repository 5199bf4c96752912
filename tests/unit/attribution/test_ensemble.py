"""Ensembles of two tiny graphs: their means against those of the graphs alone, taken with NumPy."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from export.onnx import export_onnx
from export.parity import check_parity
from export.torchscript import export_torchscript
from tests.helpers.queries import as_tensors, ask
from tests.helpers.tiny_networks import RedGreenNet
from weakseg.attribution.cam import CamGraph, CamSettings
from weakseg.attribution.ensemble import EnsembleGraph, Member
from weakseg.errors import ModelError
from weakseg.labels import Vocabulary
from weakseg.models.split import split_network
from weakseg.models.tape import CHECK_HW

FIRST = Vocabulary(["difference", "both", "green"])
SECOND = Vocabulary(["green", "other", "both"])  # does not know "difference"; numbers differ
PHOTO_HW = (6, 8)


def build(vocabulary: Vocabulary, seed: int, **settings: object) -> CamGraph:
    network = RedGreenNet()
    with torch.no_grad():
        network.head.weight.add_(torch.randn(3, 2, generator=torch.Generator().manual_seed(seed)))
    return CamGraph(
        split_network(network, "tiny"),
        vocabulary,
        mean=(0.1 * seed, 0.0, 0.0),
        std=(0.5, 0.5, 0.5),
        settings=CamSettings(**settings),  # type: ignore[arg-type]
        multi_label=seed % 2 == 0,
    )


def photos(count: int) -> Tensor:
    return torch.randint(0, 256, (count, *PHOTO_HW, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def run(graph: CamGraph | EnsembleGraph, images: Tensor, labels: list[list[int]], vocabulary: Vocabulary) -> list:
    return [each.numpy() for each in graph(images, *as_tensors(ask(labels, vocabulary)))]


def test_scores_and_maps_are_weighted_means_over_those_who_know_the_label() -> None:
    one, two = build(FIRST, 1), build(SECOND, 2)
    ensemble = EnsembleGraph([Member(one, FIRST, 1, 3), Member(two, SECOND, 2, 1)])
    images = photos(2)
    scores, maps, chosen = run(ensemble, images, [[0, 1, 2]] * 2, FIRST)
    scores_1, maps_1, _ = run(one, images, [[0, 1, 2]] * 2, FIRST)
    scores_2, maps_2, _ = run(two, images, [[2, 0]] * 2, SECOND)  # both, green
    assert chosen.tolist() == [[0, 1, 2]] * 2
    np.testing.assert_allclose(scores[:, 0], scores_1[:, 0], rtol=1e-6)
    np.testing.assert_allclose(scores[:, 1:], (3 * scores_1[:, 1:] + scores_2[:, [2, 0]]) / 4, rtol=1e-6)
    mean = (maps_1[:, 1:] + 2 * maps_2) / 3
    np.testing.assert_allclose(maps[:, 1:], mean / mean.max((2, 3), keepdims=True), rtol=1e-5)
    np.testing.assert_allclose(maps[:, 0], maps_1[:, 0], rtol=1e-6)


def test_the_best_label_is_that_of_the_mean_scores() -> None:
    one, two = build(FIRST, 1), build(SECOND, 2)
    ensemble = EnsembleGraph([Member(one, FIRST), Member(two, SECOND)])
    scores, _, chosen = run(ensemble, photos(3), [[-1, -3]] * 3, FIRST)
    assert chosen[:, 0].tolist() == scores.argmax(1).tolist()
    assert chosen[:, 1].tolist() == scores.argmin(1).tolist()


def test_maps_get_the_size_of_the_first_members() -> None:
    small, large = build(FIRST, 1, scales=(0.5,)), build(FIRST, 3)
    for order in ([small, large], [large, small]):
        expected = run(order[0], photos(1), [[0]], FIRST)[1].shape
        ensemble = EnsembleGraph([Member(graph, FIRST) for graph in order])
        assert run(ensemble, photos(1), [[0]], FIRST)[1].shape == expected


def test_exported_it_stays_dynamic_and_equal(tmp_path: Path) -> None:
    members = [Member(build(FIRST, 1, scales=(1.0, 0.5)), FIRST), Member(build(SECOND, 2), SECOND)]
    ensemble = EnsembleGraph(members)
    export_torchscript(ensemble, tmp_path / "model.pt")
    export_onnx(tmp_path / "model.pt", tmp_path / "model.onnx")
    files = {"torchscript": (tmp_path / "model.pt").read_bytes(), "onnx": (tmp_path / "model.onnx").read_bytes()}
    found = check_parity(ensemble, **files, hw=CHECK_HW[0])
    assert found["largest_difference_from_eager"]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("a", 1.0)], "two graphs or more"),
        ([("a", 1.0), ("a", -1.0)], "give 0 or more"),
        ([("a", 0.0), ("b", 1.0)], "difference"),
    ],
)
def test_what_is_no_ensemble(members: list[tuple[str, float]], message: str) -> None:
    known = {"a": FIRST, "b": SECOND}
    with pytest.raises(ModelError, match=message):
        EnsembleGraph([Member(build(known[name], 1), known[name], weight) for name, weight in members])
