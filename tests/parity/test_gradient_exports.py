"""Forward and backward pass as one exported graph: TorchScript and ONNX Runtime agree with the tape at other sizes."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import onnx
import pytest
import torch
from torch import Tensor, nn

from tests.helpers.gradient_graphs import SaliencyGraph, export_graph, open_session
from tests.helpers.gradients import CLASSES, difference, noise, random_network
from weakseg.models.tape import record_tape

TOLERANCE = 1e-5  # relative to the largest gradient
NETWORKS = ("squeezenet1_1", "vgg16", "resnet18", "efficientnet_b0", "convnext_tiny")
SIZES = ((1, 1, (70, 51)), (3, 2, (48, 64)))  # B, K, (h, w); exported with another B, K, h and w
BATCHES = 3  # of every size


@dataclass(frozen=True)
class Exported:
    graph: SaliencyGraph
    path: Path


@pytest.fixture(scope="module", params=NETWORKS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    network: str = request.param
    graph = SaliencyGraph(record_tape(random_network(network), network))
    path = tmp_path_factory.mktemp(network) / "saliency"
    export_graph(graph, path)
    return Exported(graph, path)


def load_script(exported: Exported) -> torch.jit.ScriptModule:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.load` is deprecated")
        return torch.jit.load(exported.path.with_suffix(".pt"))


@pytest.mark.parametrize(("batch", "passes", "hw"), SIZES)
def test_runtimes_agree_at_sizes_that_the_export_has_not_seen(
    exported: Exported, batch: int, passes: int, hw: tuple[int, int]
) -> None:
    """A gradient jumps where a ReLU's input passes zero or two cells of a pooling window are equal, and every runtime
    rounds in its own way: about one image in twenty has such a place, and is told apart by the median over images."""
    script, session = load_script(exported), open_session(exported.path)
    differences: list[tuple[float, float]] = []
    for seed in range(BATCHES):
        images = noise(batch, hw, seed=seed)
        seeds = torch.randn(batch, passes, CLASSES, generator=torch.Generator().manual_seed(seed))
        logits, maps = exported.graph(images, seeds)
        with torch.inference_mode():
            scripted = script(images, seeds)
        found = session.run(None, {"images": images.numpy(), "seeds": seeds.numpy()})
        assert difference(scripted[0], logits) < TOLERANCE
        assert difference(torch.from_numpy(found[0]), logits) < TOLERANCE
        differences += [
            (difference(scripted[1][index], maps[index]), difference(torch.from_numpy(found[1])[index], maps[index]))
            for index in range(batch)
        ]
    assert len(differences) == BATCHES * batch
    assert max(by_script for by_script, _ in differences) < TOLERANCE  # the same kernels: it rounds alike
    assert median(by_onnx for _, by_onnx in differences) < TOLERANCE


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
