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

from export.onnx import export_onnx
from export.parity import (
    JUMP_TOLERANCE,
    check_parity,
    compare,
    find_example_size,
    fits,
    parity_query,
    refuse_frequent_jumps,
    run_eager,
)
from export.torchscript import export_torchscript
from tests.helpers.queries import ask
from weakseg.attribution.fusion import FusionSettings, Part
from weakseg.attribution.graph import GraphSettings, LabelGraph
from weakseg.attribution.methods import SETTINGS, build_graph
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
    assert report["mean_tolerance_of_maps"] == JUMP_TOLERANCE
    assert largest["torchscript"]["maps"] <= 1e-6, "the same kernels: nothing jumps"
    assert largest["onnx"]["maps"] <= JUMP_TOLERANCE


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
    images = np.random.default_rng(0).integers(0, 256, (2, 48, 80, 3), dtype=np.uint8)
    for rivals in (0, 1, 9):
        query = ask([[-1, 3], [8, 0]], VOCABULARY, rivals=rivals)
        expected = run_eager(graph, images, query)
        for runtime in runtimes:
            compare(expected, runtime.run(images, query), 1e-4, f"{runtime.name}, {rivals} rivals", jumps=True)


@pytest.mark.parametrize(("network", "method"), [("squeezenet1_1", "guided"), ("resnet18", "gradcam")])
def test_real_networks_at_sizes_that_no_export_has_seen(network: str, method: str, tmp_path: Path) -> None:
    graph = build(method, network)
    files = export(graph, tmp_path)
    runtime = OnnxRuntime(files["onnx"], threads=1, gpu=None)
    rng = np.random.default_rng(3)
    for step, (height, width) in enumerate([(65, 98), (96, 71)]):
        images = rng.integers(0, 256, (1 + step, height, width, 3), dtype=np.uint8)
        query = parity_query(1 + step, 2, len(VOCABULARY), rng)
        compare(run_eager(graph, images, query), runtime.run(images, query), 1e-4, f"{height} x {width}", jumps=True)


def test_a_size_that_is_too_small_for_the_network_is_refused() -> None:
    graph = build("gradcam", "squeezenet1_1")
    assert not fits(graph, (16, 64))
    with pytest.raises(ModelError, match="16 x 64 pixels are too small for this network"):
        find_example_size(graph, (16, 64))
    assert find_example_size(graph, (64, 64)) == (160, 224)


def test_a_map_may_jump_here_and_there_but_not_everywhere() -> None:
    maps = np.full((1, 2, 40, 50), 0.5, np.float32)
    jumped, wrong = maps.copy(), maps.copy()
    jumped[0, 0, 3, 4] += 0.3
    wrong[0, 1] += 0.03
    one, other, third = (GraphOutput(np.zeros((1, 3), np.float32), each, np.zeros((1, 2), np.int64))
                         for each in (maps, jumped, wrong))  # fmt: skip
    assert compare(one, other, 1e-4, "onnx", jumps=True)["maps"] == pytest.approx(0.3 / 2000, rel=1e-3)
    with pytest.raises(ParityError, match=r"maps differ from eager by 0\.03"):
        compare(one, third, 1e-4, "onnx", jumps=True)
    with pytest.raises(ParityError, match=r"maps differ from eager by 0\.3"):
        compare(one, other, 1e-4, "onnx")
    refuse_frequent_jumps({"onnx": [{"maps": 0.01}, {"maps": 0.0}, {"maps": 0.0}]})
    with pytest.raises(ParityError, match=r"onnx: maps differ from eager by 0\.01 on average"):
        refuse_frequent_jumps({"onnx": [{"maps": 0.01}, {"maps": 0.01}, {"maps": 0.0}]})


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
