"""Eager, TorchScript and ONNX Runtime agree, for several architectures and at sizes that no export has seen."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from export.onnx import export_onnx
from export.parity import TOLERANCE, check_parity, compare, parity_query, parity_sizes, run_eager
from export.torchscript import example_inputs, export_torchscript
from tests.helpers.queries import ask
from weakseg.attribution.cam import CamGraph, CamSettings
from weakseg.errors import ParityError
from weakseg.labels import Vocabulary
from weakseg.models.classifier import load_classifier
from weakseg.runtime import OnnxRuntime, TorchScriptRuntime
from weakseg.types import GraphOutput

VOCABULARY = Vocabulary(["a", "b", "c", "d", "e", "f", "g"], {"pair": [1, 4], "trio": [0, 2, 6]})
EVERYTHING = CamSettings(
    positive_weights=True,
    contrast=0.5,
    similarity=True,
    scales=(1.0, 0.7, 1.3),
    flip=True,
    member_weighting="softmax",
    temperature=0.5,
)


def build(network: str, settings: CamSettings | None = None, *, multi_label: bool = False) -> CamGraph:
    torch.manual_seed(0)
    split = load_classifier(network, "random", num_classes=len(VOCABULARY.classes)).split
    mean_std = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    return CamGraph(split, VOCABULARY, settings=settings, multi_label=multi_label, **mean_std)


def export(graph: CamGraph, folder: Path) -> dict[str, bytes]:
    export_torchscript(graph, folder / "model.pt")
    export_onnx(folder / "model.pt", folder / "model.onnx")
    return {name: (folder / f"model.{end}").read_bytes() for name, end in (("torchscript", "pt"), ("onnx", "onnx"))}


@pytest.mark.parametrize("network", ["squeezenet1_1", "resnet18", "mobilenet_v2", "densenet121", "googlenet", "demo"])
def test_architectures_agree_in_every_runtime(network: str, tmp_path: Path) -> None:
    graph = build(network)
    report = check_parity(graph, **export(graph, tmp_path), hw=(96, 128))
    largest = report["largest_difference_from_eager"]
    assert isinstance(largest, dict)
    assert set(largest) == {"torchscript", "onnx"}
    assert all(difference <= TOLERANCE for found in largest.values() for difference in found.values())


@pytest.mark.parametrize(("network", "multi_label"), [("squeezenet1_1", False), ("shufflenet_v2_x0_5", True)])
def test_every_setting_agrees_in_every_runtime(network: str, multi_label: bool, tmp_path: Path) -> None:
    graph = build(network, EVERYTHING, multi_label=multi_label)
    check_parity(graph, **export(graph, tmp_path), hw=(96, 128))


@pytest.mark.parametrize("settings", [CamSettings(), EVERYTHING], ids=["plain", "everything"])
def test_any_size_from_32_pixels_any_batch_and_any_number_of_labels(settings: CamSettings, tmp_path: Path) -> None:
    smallest = 32 if settings == CamSettings() else 46  # SqueezeNet needs 17 pixels, and 0.7 x 46 = 32
    graph = build("squeezenet1_1", settings)
    exported = export(graph, tmp_path)
    runtimes = [
        TorchScriptRuntime(exported["torchscript"], threads=1, gpu=None),
        OnnxRuntime(exported["onnx"], threads=1, gpu=None),
    ]
    rng = np.random.default_rng(3)
    for step in range(9):  # every remainder of the network's stride 16, with pooling in ceil mode
        height, width = smallest + step, smallest + 31 - 2 * step
        batch_size, count = 1 + step % 3, 1 + step % 4
        images = rng.integers(0, 256, (batch_size, height, width, 3), dtype=np.uint8)
        query = parity_query(batch_size, count, len(VOCABULARY), rng)
        expected = run_eager(graph, images, query)
        assert expected.maps.shape[:2] == (batch_size, count)
        for runtime in runtimes:
            compare(expected, runtime.run(images, query), TOLERANCE, f"{runtime.name} at {images.shape}")


def test_one_photo_of_33_by_47(tmp_path: Path) -> None:
    graph = build("resnet18")
    exported = export(graph, tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (1, 33, 47, 3), dtype=np.uint8)
    found = OnnxRuntime(exported["onnx"], threads=1, gpu=None).run(images, ask([[-1]], VOCABULARY))
    assert found.maps.shape == (1, 1, 2, 2)
    compare(run_eager(graph, images, ask([[-1]], VOCABULARY)), found, TOLERANCE, "onnx")


def test_export_leaves_the_graph_as_it_was(tmp_path: Path) -> None:
    graph = build("squeezenet1_1")
    before = {name: value.clone() for name, value in graph.state_dict().items()}
    inputs = example_inputs()
    with torch.inference_mode():
        expected = graph(*inputs)
    export(graph, tmp_path)
    with torch.inference_mode():
        assert all(torch.equal(old, new) for old, new in zip(expected, graph(*inputs), strict=True))
    assert all(torch.equal(before[name], value) for name, value in graph.state_dict().items())
    assert not graph.training


def test_nothing_is_tied_to_the_device_of_the_export(tmp_path: Path) -> None:
    """Tracing writes the device of newly made tensors down; a graph with such a note fails on a GPU."""
    export_torchscript(build("squeezenet1_1", EVERYTHING), tmp_path / "model.pt")
    with zipfile.ZipFile(tmp_path / "model.pt") as archive:
        code = [archive.read(name).decode() for name in archive.namelist() if name.endswith(".py")]
    assert any("def forward" in module for module in code)
    assert not any("torch.device(" in module for module in code)


def test_another_graph_is_noticed(tmp_path: Path) -> None:
    graph, other = build("squeezenet1_1"), build("squeezenet1_1")
    other.weight *= -1
    exported = export(graph, tmp_path)
    exported["onnx"] = export(other, tmp_path)["onnx"]
    with pytest.raises(ParityError, match=r"onnx at \("):
        check_parity(graph, **exported, hw=(64, 96))


def answer(value: float = 0.5, label: int = 1, map_width: int = 3) -> GraphOutput:
    maps = np.full((1, 1, 2, map_width), value, np.float32)
    return GraphOutput(np.full((1, 4), value, np.float32), maps, np.array([[label]]))


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (answer(0.5 + 2e-4), "scores differ from eager by 0.0002"),
        (answer(float("nan")), "scores differ from eager by nan"),
        (answer(label=2), r"chose labels \[\[2\]\], eager chose \[\[1\]\]"),
        (answer(map_width=4), r"maps have shape \(1, 1, 2, 4\), eager \(1, 1, 2, 3\)"),
    ],
)
def test_differences_are_named(found: GraphOutput, message: str) -> None:
    with pytest.raises(ParityError, match=message):
        compare(answer(), found, TOLERANCE, "onnx")


def test_differences_within_the_tolerance_are_reported() -> None:
    assert compare(answer(), answer(0.5 + 2**-14), TOLERANCE, "onnx") == {"scores": 2**-14, "maps": 2**-14}


@pytest.mark.parametrize("hw", [(224, 224), (96, 128), (64, 64), (240, 320), (250, 250)])
def test_parity_sizes_are_not_square(hw: tuple[int, int]) -> None:
    sizes = parity_sizes(hw)
    assert len(set(sizes)) == 2
    assert all(height != width for height, width in sizes)
