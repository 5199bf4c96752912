"""Every method by gradients agrees in every runtime, and its graph holds nothing but ordinary operators."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from export import parity
from export.onnx import export_onnx
from export.parity import (
    TOLERANCE,
    are_steady,
    check_parity,
    compare,
    draw_steady_photos,
    find_example_size,
    fits,
    parity_query,
    run_eager,
)
from export.torchscript import export_torchscript
from tests.helpers.queries import ask
from weakseg.attribution.fusion import FusionSettings, Part
from weakseg.attribution.graph import GraphSettings, LabelGraph
from weakseg.attribution.methods import SETTINGS, build_graph
from weakseg.attribution.saliency import SaliencyGraph, SaliencySettings
from weakseg.errors import ModelError, ParityError
from weakseg.labels import Vocabulary
from weakseg.models.classifier import load_classifier
from weakseg.runtime import OnnxRuntime, TorchScriptRuntime
from weakseg.types import GraphOutput, Query

VOCABULARY = Vocabulary(["a", "b", "c", "d", "e", "f", "g"], {"pair": [1, 4], "trio": [0, 2, 6]})
METHODS = ("saliency", "guided", "dcsm", "gradcam", "layercam", "fusion")
CHANGES: dict[str, dict[str, Any]] = {
    "saliency": {"pool_px": 3, "scales": (1.0, 0.7), "flip": True},
    "fusion": {"parts": (Part(), Part("features_2_2", sigma=0.0, reduce="mean")), "similarity": True, "damping": 0.5},
}


def make_settings(method: str) -> GraphSettings:
    return SETTINGS[method](**CHANGES.get(method, {}))  # type: ignore[index]


def build(method: str, network: str = "demo") -> LabelGraph[Any]:
    torch.manual_seed(0)
    classifier = load_classifier(network, "random", num_classes=len(VOCABULARY.classes))
    return build_graph(classifier, VOCABULARY, make_settings(method), multi_label=False)


def export(graph: LabelGraph[Any], folder: Path) -> dict[str, bytes]:
    export_torchscript(graph, folder / "model.pt")
    export_onnx(folder / "model.pt", folder / "model.onnx")
    return {name: (folder / f"model.{end}").read_bytes() for name, end in (("torchscript", "pt"), ("onnx", "onnx"))}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[LabelGraph[Any], Path]]:
    """Each method's graph of a small network, and the folder of its files."""
    made = {}
    for method in METHODS:
        graph, folder = build(method), tmp_path_factory.mktemp(method)
        export(graph, folder)
        made[method] = graph, folder
    return made


@pytest.mark.parametrize("method", METHODS)
def test_methods_agree_in_every_runtime(exported: dict[str, tuple[LabelGraph[Any], Path]], method: str) -> None:
    graph, folder = exported[method]
    files = {"torchscript": (folder / "model.pt").read_bytes(), "onnx": (folder / "model.onnx").read_bytes()}
    report = check_parity(graph, **files, hw=(64, 96))
    largest: Any = report["largest_difference_from_eager"]
    photos: Any = report["photos"]
    assert photos["drawn"] >= photos["used"] == 6, "two sizes, three photos"
    assert report["sizes_hw"] == [[64, 75], [97, 66]]
    assert largest["torchscript"]["maps"] <= 1e-6, "the same kernels"
    assert largest["onnx"]["maps"] <= TOLERANCE, "the largest difference, not the mean"


@pytest.mark.parametrize("method", METHODS)
def test_no_autograd_and_no_device_is_left_in_a_graph(
    exported: dict[str, tuple[LabelGraph[Any], Path]], method: str
) -> None:
    _, folder = exported[method]
    with zipfile.ZipFile(folder / "model.pt") as archive:
        code = "\n".join(archive.read(name).decode() for name in archive.namelist() if name.endswith(".py"))
    assert "def forward" in code
    assert not re.search(r"autograd|torch\.grad|requires_grad|torch\.\w*_backward|torch\.device\(", code)
    operators = {(node.domain, node.op_type) for node in onnx.load(folder / "model.onnx").graph.node}
    assert {domain for domain, _ in operators} == {""}, "standard operators only"
    assert not any("Grad" in kind for _, kind in operators)


def test_dcsm_takes_any_number_of_rivals_and_none(exported: dict[str, tuple[LabelGraph[Any], Path]]) -> None:
    graph, folder = exported["dcsm"]
    runtimes = [
        TorchScriptRuntime((folder / "model.pt").read_bytes(), threads=1, gpu=None),
        OnnxRuntime((folder / "model.onnx").read_bytes(), threads=1, gpu=None),
    ]
    for rivals in (0, 1, 9):
        query = ask([[-1, 3], [8, 0]], VOCABULARY, rivals=rivals)
        images, _ = draw_steady_photos(graph, (48, 80), query, np.random.default_rng(0))
        expected = run_eager(graph, images, query)
        for runtime in runtimes:
            compare(expected, runtime.run(images, query), TOLERANCE, f"{runtime.name}, {rivals} rivals")


@pytest.mark.parametrize(("network", "method"), [("squeezenet1_1", "guided"), ("resnet18", "gradcam")])
def test_real_networks_at_sizes_that_no_export_has_seen(network: str, method: str, tmp_path: Path) -> None:
    graph = build(method, network)
    files = export(graph, tmp_path)
    runtime = OnnxRuntime(files["onnx"], threads=1, gpu=None)
    rng = np.random.default_rng(3)
    for step, (height, width) in enumerate([(65, 98), (96, 71)]):
        query = parity_query(1 + step, 2, len(VOCABULARY), rng)
        images, _ = draw_steady_photos(graph, (height, width), query, rng)
        compare(run_eager(graph, images, query), runtime.run(images, query), TOLERANCE, f"{height} x {width}")


def test_a_size_that_is_too_small_for_the_network_is_refused() -> None:
    graph = build("gradcam", "squeezenet1_1")
    assert not fits(graph, (16, 64))
    with pytest.raises(ModelError, match="16 x 64 pixels are too small for this network"):
        find_example_size(graph, (16, 64))
    assert find_example_size(graph, (64, 64)) == (160, 224)


class Edge(nn.Module):
    """A class per colour: the sum over pixels of what is brighter than 128 + ``above`` grey levels."""

    def __init__(self, above: float) -> None:
        super().__init__()
        self.shift = nn.Conv2d(3, 3, 1, groups=3)
        with torch.no_grad():
            self.shift.weight.fill_(1)
            self.shift.bias.fill_(-(128 + above) / 255)

    def forward(self, images: Tensor) -> Tensor:
        return torch.relu(self.shift(images)).mean((2, 3))


def edge_graph(above: float) -> SaliencyGraph:
    vocabulary = Vocabulary(["red", "green", "blue"])
    return SaliencyGraph(Edge(above), "edge", vocabulary, settings=SaliencySettings(), mean=(0.0,) * 3, std=(1.0,) * 3)


def test_a_photo_is_steady_while_no_pixel_lies_on_an_edge() -> None:
    images = np.full((2, 4, 6, 3), 200, np.uint8)
    images[1, 2, 3, 0] = 128
    query = ask([[0], [0]], Vocabulary(["red", "green", "blue"]))
    for above, expected in ((0.5, [True, True]), (1e-6, [True, False]), (-1e-6, [True, False])):
        graph = edge_graph(above)
        before = {name: value.clone() for name, value in graph.state_dict().items()}
        assert are_steady(graph, images, query, np.random.default_rng(0)).tolist() == expected
        assert all(torch.equal(value, before[name]) for name, value in graph.state_dict().items())
        assert {value.dtype for value in graph.parameters()} == {torch.float32}


def test_photos_are_drawn_until_they_are_steady_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([[True, False, False], [False, True], [True]])
    monkeypatch.setattr(parity, "are_steady", lambda *_: np.array(next(answers)))
    query = ask([[0]] * 3, Vocabulary(["red", "green", "blue"]))
    photos, drawn = draw_steady_photos(edge_graph(0.5), (8, 10), query, np.random.default_rng(0))
    assert (photos.shape, drawn) == ((3, 8, 10, 3), 3 + 2 + 1)
    monkeypatch.setattr(parity, "are_steady", lambda _, images, *__: np.zeros(len(images), bool))
    with pytest.raises(ParityError, match=r"Of 60 photos of 8 x 10 pixels too few .* hang on rounding"):
        draw_steady_photos(edge_graph(0.5), (8, 10), query, np.random.default_rng(0))


def test_one_pixel_of_one_map_is_enough_to_refuse_an_export(
    exported: dict[str, tuple[LabelGraph[Any], Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, folder = exported["saliency"]
    files = {"torchscript": (folder / "model.pt").read_bytes(), "onnx": (folder / "model.onnx").read_bytes()}
    run = OnnxRuntime.run

    def run_wrongly(self: OnnxRuntime, images: Any, query: Query) -> GraphOutput:
        output = run(self, images, query)
        if output.maps.shape[:2] == (3, 4):
            output.maps[1, 2, 5, 7] += 2e-3
        return output

    monkeypatch.setattr(OnnxRuntime, "run", run_wrongly)
    with pytest.raises(ParityError, match=r"onnx at \(3, 64, 75, 3\): maps differ from eager by 0\.002"):
        check_parity(graph, **files, hw=(64, 96))


def test_unused_inputs_may_be_missing_in_a_graph(exported: dict[str, tuple[LabelGraph[Any], Path]]) -> None:
    _, folder = exported["gradcam"]
    runtime = OnnxRuntime((folder / "model.onnx").read_bytes(), threads=1, gpu=None)
    images = np.zeros((1, 64, 64, 3), np.uint8)
    query = ask([[2]], VOCABULARY)
    assert runtime.run(images, query).chosen.tolist() == [[2]]
    assert runtime.run(images, Query(query.labels, query.among, np.array([[-1, -2]]))).chosen.tolist() == [[2]]


def test_a_fusion_needs_a_head_for_class_activation_maps() -> None:
    classifier = load_classifier("alexnet", "random", num_classes=len(VOCABULARY.classes))
    with pytest.raises(ModelError, match="global average pooling"):
        build_graph(classifier, VOCABULARY, FusionSettings(), multi_label=False)
