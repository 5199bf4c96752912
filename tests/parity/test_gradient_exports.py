"""Forward and backward pass as one exported graph: TorchScript and ONNX Runtime agree with the tape at other sizes."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from benchmarks.gradient_graphs import SaliencyGraph, export_graph, open_session
from tests.helpers.gradients import CLASSES, difference, noise, random_network
from weakseg.models.operators import sources_of
from weakseg.models.rules import Rectifier
from weakseg.models.tape import Tape, record_tape

TOLERANCE = 1e-5  # relative to the largest gradient
ROUNDING = 1e-7  # of single precision
NETWORKS = ("squeezenet1_1", "vgg16", "resnet18", "efficientnet_b0", "convnext_tiny")
SIZES = ((1, 1, (70, 51)), (3, 2, (48, 64)))  # B, K, (h, w); exported with another B, K, h and w


@dataclass(frozen=True)
class Exported:
    graph: SaliencyGraph
    precise: SaliencyGraph
    path: Path


@pytest.fixture(scope="module", params=NETWORKS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    network: str = request.param
    graphs = [
        SaliencyGraph(record_tape(random_network(network, dtype), network)) for dtype in (torch.float32, torch.float64)
    ]
    path = tmp_path_factory.mktemp(network) / "saliency"
    export_graph(graphs[0], path)
    return Exported(*graphs, path)


def inputs_without_kinks(exported: Exported, batch: int, passes: int, hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Images and seeds whose gradient does not hang on rounding, which every runtime does in its own way.

    A gradient jumps where a ReLU's input passes zero. Taken are the first images that stay away from there.
    """
    for seed in range(30):
        images = noise(batch, hw, torch.float64, seed)
        if distance_from_kinks(exported.precise.tape, images) > 5 * ROUNDING:
            seeds = torch.randn(batch, passes, CLASSES, generator=torch.Generator().manual_seed(seed))
            return images.float(), seeds
    raise AssertionError("thirty images, and a ReLU's input next to zero in each")


def distance_from_kinks(tape: Tape, images: Tensor) -> float:
    """The smallest input of a ReLU, relative to the deviation of that ReLU's inputs."""
    values = tape.run(images).by_node
    rectified = [
        sources_of(node)[0]
        for node in tape.nodes
        if node.name in tape.rules and isinstance(tape.rules[node.name], Rectifier)
    ]
    return min((float((values[node].abs() / values[node].std()).min()) for node in rectified), default=float("inf"))


def load_script(exported: Exported) -> torch.jit.ScriptModule:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.load` is deprecated")
        return torch.jit.load(exported.path.with_suffix(".pt"))


@pytest.mark.parametrize(("batch", "passes", "hw"), SIZES)
def test_runtimes_agree_at_sizes_that_the_export_has_not_seen(
    exported: Exported, batch: int, passes: int, hw: tuple[int, int]
) -> None:
    images, seeds = inputs_without_kinks(exported, batch, passes, hw)
    logits, maps = exported.graph(images, seeds)
    with torch.inference_mode():
        scripted = load_script(exported)(images, seeds)
    found = open_session(exported.path).run(None, {"images": images.numpy(), "seeds": seeds.numpy()})
    for runtime in (scripted, [torch.from_numpy(np.asarray(each)) for each in found]):
        assert difference(runtime[0], logits) < TOLERANCE
        assert difference(runtime[1], maps) < TOLERANCE


def test_no_graph_holds_autograd(exported: Exported) -> None:
    words = ("grad", "backward", "vjp")
    called = {node.kind() for node in load_script(exported).inlined_graph.nodes()}
    assert "aten::_convolution" in called
    assert not [kind for kind in called if any(word in kind for word in words)]
    model = onnx.load(exported.path.with_suffix(".onnx"))
    operators = {(node.domain, node.op_type) for node in model.graph.node}
    assert ("", "Conv") in operators
    assert {domain for domain, _ in operators} == {""}  # ONNX's own operators only
    assert not [name for _, name in operators if any(word in name.lower() for word in words)]


def test_what_is_not_wanted_is_not_computed(tmp_path: Path) -> None:
    """From inner layer to inner layer: half the network goes forward, and three convolutions back."""
    tape = record_tape(random_network("squeezenet1_1"), "squeezenet1_1")
    above, below = "features_4_squeeze_activation", "features_3_squeeze_activation"

    class BetweenLayers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tape = tape

        def forward(self, images: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
            values = self.tape.run(images, until=above)
            ones = seeds[:, :, :1, None, None] * values[above][:, None]  # (B, K, c, h', w')
            gradients = self.tape.pull_back(values, {above: ones}, [below])[below]  # (B, K, c, h', w')
            return values[above].mean((2, 3)), gradients.amax(2)

    export_graph(BetweenLayers(), tmp_path / "between")
    operators = [node.op_type for node in onnx.load(tmp_path / "between.onnx").graph.node]
    assert operators.count("Conv") == 5 + 3  # stem, fire 3 and the squeeze of fire 4; three of them back
    assert operators.count("ConvTranspose") == 0
