"""Networks that label pixels agree in every runtime, at sizes and batches that no export has seen."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from export import parity
from export.onnx import export_onnx
from export.parity import (
    TOLERANCE,
    are_steady,
    check_parity,
    check_scores,
    compare,
    find_example_size,
    parity_inputs,
    parity_query,
    run_eager,
)
from export.torchscript import example_inputs, export_torchscript
from tests.helpers.pixel_checkpoints import StridedNet
from tests.helpers.queries import ask
from weakseg.attribution.pixels import PixelGraph, PixelSettings
from weakseg.errors import ParityError
from weakseg.labels import Vocabulary
from weakseg.models.pixel.registry import build_pixel_network
from weakseg.runtime import OnnxRuntime, TorchScriptRuntime
from weakseg.types import GraphOutput, Query

VOCABULARIES = {
    "one class": Vocabulary(["hair"]),
    "several": Vocabulary(["a", "b", "c", "d"]),
    "groups": Vocabulary(["a", "b", "c", "d"], {"pair": [1, 3], "trio": [0, 1, 2]}),
}
NORMALISATION: dict[str, Any] = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def build(vocabulary: Vocabulary, **settings: Any) -> PixelGraph:
    torch.manual_seed(0)
    network = StridedNet(len(vocabulary.classes) + 1)
    return PixelGraph(network, "strided", vocabulary, settings=PixelSettings(**settings), **NORMALISATION)


def export(graph: PixelGraph, folder: Path) -> dict[str, bytes]:
    inputs = example_inputs(find_example_size(graph, (48, 64)), graph.membership.shape[0])
    export_torchscript(graph, folder / "model.pt", inputs)
    export_onnx(folder / "model.pt", folder / "model.onnx", inputs)
    return {name: (folder / f"model.{end}").read_bytes() for name, end in (("torchscript", "pt"), ("onnx", "onnx"))}


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("labels", VOCABULARIES)
def test_any_size_any_batch_and_any_number_of_labels(labels: str, flip: bool, tmp_path: Path) -> None:
    vocabulary = VOCABULARIES[labels]
    graph = build(vocabulary, flip=flip)
    exported = export(graph, tmp_path)
    report = check_parity(graph, **exported, hw=(50, 70))
    assert report["batch_sizes"] == [1, 3]
    runtimes = [
        TorchScriptRuntime(exported["torchscript"], threads=1, gpu=None),
        OnnxRuntime(exported["onnx"], threads=1, gpu=None),
    ]
    rng = np.random.default_rng(3)
    for step in range(8):  # every remainder of the network's stride 4, in both directions
        height, width = 16 + step, 47 - 3 * step
        images = rng.integers(0, 256, (1 + step % 3, height, width, 3), dtype=np.uint8)
        query = parity_query(len(images), 1 + step % 4, len(vocabulary), rng)
        expected = run_eager(graph, images, query)
        assert expected.maps.shape == (len(images), 1 + step % 4, height, width)
        for runtime in runtimes:
            compare(expected, runtime.run(images, query), TOLERANCE, f"{runtime.name} at {images.shape}")


def test_the_label_of_every_pixel_that_is_not_undecided_is_the_networks(tmp_path: Path) -> None:
    vocabulary = VOCABULARIES["several"]
    graph = build(vocabulary)
    exported = export(graph, tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (2, 37, 58, 3), dtype=np.uint8)
    with torch.inference_mode():
        pixels = (torch.from_numpy(images).permute(0, 3, 1, 2) - graph.mean) / graph.std
        logits = graph.network(pixels)  # (B, 5, h, w)
    best, second = logits.softmax(1).topk(2, 1).values.unbind(1)  # (B, h, w) each
    decided = (best - second > 2 * TOLERANCE).numpy()
    assert decided.mean() > 0.99
    for runtime in (
        TorchScriptRuntime(exported["torchscript"], threads=1, gpu=None),
        OnnxRuntime(exported["onnx"], threads=1, gpu=None),
    ):
        maps = runtime.run(images, ask([[0, 1, 2, 3]] * 2, vocabulary)).maps  # (B, 4, h, w)
        found = np.concatenate([1 - maps.sum(1, keepdims=True), maps], 1).argmax(1)  # (B, h, w)
        assert (found == logits.argmax(1).numpy())[decided].all()


def test_nothing_is_tied_to_the_device_of_the_export(tmp_path: Path) -> None:
    export(build(VOCABULARIES["groups"], flip=True), tmp_path)
    with zipfile.ZipFile(tmp_path / "model.pt") as archive:
        code = [archive.read(name).decode() for name in archive.namelist() if name.endswith(".py")]
    assert any("def forward" in module for module in code)
    assert not any("torch.device(" in module for module in code)


def test_a_network_that_freezes_its_size_is_noticed(tmp_path: Path) -> None:
    class Frozen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, 3, 4, stride=4)

        def forward(self, images: Tensor) -> Tensor:
            size = [int(side) for side in images.shape[2:]]  # numbers, as tracing sees them
            return nn.functional.interpolate(self.layer(images), size=size)

    torch.manual_seed(0)
    graph = PixelGraph(Frozen(), "frozen", Vocabulary(["a", "b"]), **NORMALISATION)
    with pytest.warns(torch.jit.TracerWarning):
        exported = export(graph, tmp_path)
    with pytest.raises(ParityError, match="maps have shape"):
        check_parity(graph, **exported, hw=(50, 70))


@pytest.mark.parametrize(
    ("network", "options", "jumps"),
    [
        ("conv_deconv", {"spec": "C3,8,1M2C3,8,1M2"}, True),
        ("conv_deconv", {"spec": "C3,8,1M2C3,8,1M2", "upsampling": "bilinear"}, False),
        ("segnet_vgg16", {"width": 0.125}, True),
        ("fcn8s_vgg16", {"width": 0.125}, False),
    ],
)
def test_networks_whose_indices_hang_on_rounding_are_compared_where_they_do_not(
    network: str, options: dict[str, Any], jumps: bool, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    vocabulary = VOCABULARIES["several"]
    model = build_pixel_network(network, len(vocabulary.classes) + 1, options)
    graph = PixelGraph(model, network, vocabulary, **NORMALISATION)
    assert graph.jumps is graph.scores_jump is jumps
    report = check_parity(graph, **export(graph, tmp_path), hw=(50, 70))
    assert ("photos" in report) is jumps


class StandIn:
    """A runtime that runs the graph eagerly, and changes its answers."""

    device = "cpu"

    def __init__(self, graph: PixelGraph, change: Callable[[GraphOutput], GraphOutput], name: str = "onnx") -> None:
        self.graph, self.change, self.name = graph, change, name

    def run(self, images: NDArray[np.uint8], query: Query) -> GraphOutput:
        return self.change(run_eager(self.graph, images, query))


def shift(output: GraphOutput) -> GraphOutput:
    return dataclasses.replace(output, maps=np.roll(output.maps, 1, axis=3))


def faint_graph() -> PixelGraph:
    """Pointwise: of noise, class l's probability is some 1e-8 to 3e-7, as its colour is."""
    network = nn.Conv2d(3, 4, 1)
    with torch.no_grad():
        network.weight.zero_()
        network.weight[1:, :, 0, 0] = 3 * torch.eye(3)
        network.bias.copy_(torch.tensor([18.0, 0, 0, 0]))
    return PixelGraph(network, "faint", Vocabulary(["a", "b", "c"]), mean=(0.0,) * 3, std=(1.0,) * 3)


def test_a_shift_by_one_pixel_is_refused_however_small_probabilities_are(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = faint_graph()
    for name in ("TorchScript", "Onnx"):
        stand_in = StandIn(graph, lambda output: output, name.casefold())
        monkeypatch.setattr(parity, f"{name}Runtime", lambda *_, stand_in=stand_in, **__: stand_in)
    report: Any = check_parity(graph, torchscript=b"", onnx=b"", hw=(20, 31))
    assert 1e-7 < report["largest_map_value"] < 1e-6, "e ** -15"
    assert report["largest_difference_from_eager"]["onnx"] == {"scores": 0, "maps": 0, "logarithms_of_maps": 0}
    for images, query in parity_inputs([(20, 31)], 3):
        expected = run_eager(graph, images, query)
        compare(expected, shift(expected), TOLERANCE, "the maps as they are do not show it")
    monkeypatch.setattr(parity, "OnnxRuntime", lambda *_, **__: StandIn(graph, shift))
    with pytest.raises(ParityError, match=r"onnx at \(1, 20, 31, 3\): logarithms of maps differ from eager by 2\.\d"):
        check_parity(graph, torchscript=b"", onnx=b"", hw=(20, 31))


def test_scores_of_maps_that_jump_are_not_compared_where_these_may_jump() -> None:
    graph = faint_graph()

    def jump(output: GraphOutput) -> GraphOutput:
        return dataclasses.replace(output, scores=output.scores + 0.1, chosen=output.chosen[:, ::-1])

    with pytest.raises(ParityError, match=r"scores differ from eager by 0\.1"):
        check_scores(graph, [StandIn(graph, jump)], (20, 31), TOLERANCE)
    graph.scores_jump = True
    check_scores(graph, [StandIn(graph, jump)], (20, 31), TOLERANCE)
    for name in ("scores", "maps", "chosen"):
        cut = StandIn(
            graph, lambda output, name=name: dataclasses.replace(output, **{name: getattr(output, name)[..., :0]})
        )
        with pytest.raises(ParityError, match=f"{name} have shape"):
            check_scores(graph, [cut], (20, 31), TOLERANCE)


def test_photos_whose_scores_jump_are_not_steady() -> None:
    """Class a is there where the sum over red is above 128 by more than 1e-6: its score, but no map of class b."""

    class Edge(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            bright = (images[:, :1].amax((2, 3), keepdim=True) * 255 > 128 + 1e-6).to(images.dtype)
            rest = torch.zeros_like(images)
            return torch.cat([rest[:, :1], rest[:, :1] + 9 * bright, rest[:, :1] - 99], 1)

    graph = PixelGraph(Edge(), "edge", Vocabulary(["a", "b"]), mean=(0.0,) * 3, std=(1.0,) * 3)
    images = np.full((2, 16, 20, 3), 128, np.uint8)
    images[1] = 200
    query = ask([[1], [1]], Vocabulary(["a", "b"]))
    found = []
    for graph.scores_jump in (False, True):
        found.append(are_steady(graph, images, query, np.random.default_rng(0)).tolist())
    assert found == [[True, True], [False, True]]
