"""Joint networks agree in every runtime, at two sizes, and hold ordinary operators alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

from export.onnx import export_onnx
from export.parity import TOLERANCE, check_parity
from export.torchscript import export_torchscript
from weakseg.attribution.joint import JointSettings
from weakseg.attribution.methods import build_graph
from weakseg.labels import Vocabulary
from weakseg.models.classifier import load_classifier

VOCABULARY = Vocabulary(list("abcde"), {"pair": [1, 4]})


@pytest.mark.parametrize(
    ("network", "settings"),
    [
        ("joint_alexnet", JointSettings()),
        ("joint_squeezenet1_1_lse", JointSettings(least_share=1.0, scales=(1.0, 0.5), flip=True)),
        ("joint_mobilenet_v2_max", JointSettings()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_runtimes_agree_at_two_sizes(network: str, settings: JointSettings, tmp_path: Path) -> None:
    torch.manual_seed(0)
    classifier = load_classifier(network, "random", num_classes=5)
    graph = build_graph(classifier, VOCABULARY, settings, multi_label=True)
    export_torchscript(graph, tmp_path / "model.pt")
    export_onnx(tmp_path / "model.pt", tmp_path / "model.onnx")
    files = {name: (tmp_path / f"model.{end}").read_bytes() for name, end in (("torchscript", "pt"), ("onnx", "onnx"))}
    report = check_parity(graph, **files, hw=(95, 130))
    largest: Any = report["largest_difference_from_eager"]
    assert report["sizes_hw"] == [[95, 130], [86, 75]]
    assert max(*largest["torchscript"].values(), *largest["onnx"].values()) <= TOLERANCE
    operators = {(node.domain, node.op_type) for node in onnx.load(tmp_path / "model.onnx").graph.node}
    assert {domain for domain, _ in operators} == {""}, "standard operators only"
