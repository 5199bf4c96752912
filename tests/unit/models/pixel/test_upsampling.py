"""The upsampling family on small maps, worked out by hand, and stored indices beside PyTorch's own."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.helpers.pixel_networks import ask, export
from weakseg.errors import ModelError, ShapeMismatchError
from weakseg.models.pixel.upsampling import UPSAMPLINGS, PoolWithIndices, build_upsampling

ROWS = torch.tensor([[[[1.0, 2, 3], [4, 5, 6]]]])  # (1, 1, 2, 3)


def enlarge(name: str, x: Tensor = ROWS, factor: int = 2, indices: Tensor | None = None) -> Tensor:
    method = build_upsampling(name, x.shape[1], factor=factor)
    like = x.new_empty(1, 1, factor * x.shape[2], factor * x.shape[3])
    with torch.no_grad():
        enlarged: Tensor = method(x, indices=indices, size_like=like)
    return enlarged


def test_bilinear() -> None:
    expected = [
        [1, 1.25, 1.75, 2.25, 2.75, 3],
        [1.75, 2, 2.5, 3, 3.5, 3.75],
        [3.25, 3.5, 4, 4.5, 5, 5.25],
        [4, 4.25, 4.75, 5.25, 5.75, 6],
    ]
    torch.testing.assert_close(enlarge("bilinear"), torch.tensor([[expected]]))


def test_transposed_begins_as_bilinear_with_zeros_beyond_the_border() -> None:
    surrounded = F.pad(ROWS, (1, 1, 1, 1))
    expected = enlarge("bilinear", surrounded)[:, :, 2:-2, 2:-2]
    torch.testing.assert_close(enlarge("transposed"), expected)
    assert enlarge("transposed")[0, 0, 0].tolist() == [0.5625, 0.9375, 1.3125, 1.6875, 2.0625, 1.6875]


def test_transposed_keeps_channels_apart_at_first_and_learns_between_them() -> None:
    two = torch.cat([ROWS, 10 * ROWS], 1)
    torch.testing.assert_close(enlarge("transposed", two)[:, 1:], 10 * enlarge("transposed"))
    assert build_upsampling("transposed", 2, factor=3).deconvolution.weight.shape == (2, 2, 5, 5)


def test_naive() -> None:
    upper, lower = [1, 1, 2, 2, 3, 3], [4, 4, 5, 5, 6, 6]
    assert enlarge("naive_unpooling")[0, 0].tolist() == [upper, upper, lower, lower]


def test_fixed() -> None:
    zeros = [0.0] * 6
    assert enlarge("fixed_unpooling")[0, 0].tolist() == [[1, 0, 2, 0, 3, 0], zeros, [4, 0, 5, 0, 6, 0], zeros]


def test_learned_begins_as_naive() -> None:
    torch.testing.assert_close(enlarge("learned_unpooling"), enlarge("naive_unpooling"))


def test_learned_is_a_depthwise_transposed_convolution() -> None:
    method = build_upsampling("learned_unpooling", 2, factor=3)
    pattern = torch.randn(2, 3, 3)
    method.load_state_dict({"pattern": pattern})
    x = torch.randn(2, 2, 4, 5)
    expected = F.conv_transpose2d(x, pattern[:, None], stride=3, groups=2)
    torch.testing.assert_close(method(x, size_like=expected), expected)


def test_learned_pattern_by_hand() -> None:
    method = build_upsampling("learned_unpooling", 1)
    method.load_state_dict({"pattern": torch.tensor([[[1.0, 2], [3, 4]]])})
    made = method(torch.tensor([[[[1.0, 10]]]]), size_like=torch.empty(1, 1, 2, 4))
    assert made[0, 0].tolist() == [[1, 2, 10, 20], [3, 4, 30, 40]]


def test_indices_by_hand_the_first_of_equals_counts() -> None:
    x = torch.tensor([[[[1.0, 5, 0, 0], [2, 3, 0, 0], [7, 1, 0, 2], [7, 7, 1, 2]]]])
    pooled, cells = PoolWithIndices(2)(x)
    assert pooled[0, 0].tolist() == [[5, 0], [7, 2]]
    assert cells[0, 0].tolist() == [[1, 0], [0, 1]]
    made = enlarge("indices_unpooling", torch.tensor([[[[10.0, 20], [30, 40]]]]), indices=cells)
    assert made[0, 0].tolist() == [[0, 10, 20, 0], [0, 0, 0, 0], [30, 0, 0, 40], [0, 0, 0, 0]]


@pytest.mark.parametrize("factor", [2, 3, 15])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_indices_as_pytorch_has_them_ties_included(
    factor: int, dtype: torch.dtype, memory: torch.memory_format
) -> None:
    x = torch.randint(0, 4, (2, 3, 2 * factor, 4 * factor)).to(dtype).to(memory_format=memory)  # ties in every window
    values = torch.randn(2, 3, 2, 4).to(dtype).to(memory_format=memory)
    pooled, cells = PoolWithIndices(factor)(x)
    expected_pooled, positions = F.max_pool2d(x.float(), factor, return_indices=True)
    assert torch.equal(pooled.float(), expected_pooled)
    expected = F.max_unpool2d(values.float(), positions, factor)
    assert torch.equal(enlarge("indices_unpooling", values, factor, cells).float(), expected)


def test_gradients_of_indices_as_pytorch_has_them() -> None:
    x = torch.randint(0, 3, (2, 3, 6, 8)).double()
    weights = torch.randn(2, 3, 6, 8).double()

    def gradient(pool: nn.Module, unpool: nn.Module | None) -> Tensor:
        leaf = x.clone().requires_grad_()
        pooled, indices = pool(leaf)
        squared = pooled.square()
        made = unpool(squared, indices=indices, size_like=x) if unpool else F.max_unpool2d(squared, indices, 2)
        (made * weights).sum().backward()
        assert leaf.grad is not None
        return leaf.grad

    ours = gradient(PoolWithIndices(2), build_upsampling("indices_unpooling", 3))
    torch.testing.assert_close(ours, gradient(nn.MaxPool2d(2, return_indices=True), None))
    assert ours.count_nonzero() > 0


@pytest.mark.parametrize("name", UPSAMPLINGS)
@pytest.mark.parametrize("factor", [2, 3])
def test_sizes_and_inputs_left_as_they_were(name: str, factor: int) -> None:
    x, indices = torch.randn(2, 4, 3, 5), torch.zeros(2, 4, 3, 5)
    before = x.clone()
    assert enlarge(name, x, factor, indices).shape == (2, 4, 3 * factor, 5 * factor)
    assert torch.equal(x, before)


class _Autoencoder(nn.Module):
    """Pooling and one way back, with something between them."""

    def __init__(self, name: str, factor: int) -> None:
        super().__init__()
        self.pool = PoolWithIndices(factor)
        self.up = build_upsampling(name, 3, factor=factor)

    def forward(self, images: Tensor) -> Tensor:
        pooled, indices = self.pool(images)
        made: Tensor = self.up(2 * pooled + 1, indices=indices, size_like=images)
        return made


@pytest.mark.parametrize("name", UPSAMPLINGS)
@pytest.mark.parametrize("factor", [2, 5])
def test_exports_agree_at_other_batches_and_sizes(name: str, factor: int, tmp_path: Path) -> None:
    network = _Autoencoder(name, factor).eval()
    traced, session = export(network, tmp_path)
    operators = {node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node}
    assert not operators & {"MaxUnpool", "ScatterND", "ScatterElements"}
    for shape in [(1, 3, 10, 20), (3, 3, 40, 30), (2, 3, 90, 10)]:
        images = (2 * torch.randn(shape)).round()  # ties in many windows
        with torch.no_grad():
            expected = network(images)
            torch.testing.assert_close(traced(images), expected)
        torch.testing.assert_close(torch.from_numpy(ask(session, images)), expected)
        assert expected.std() > 0.1


def test_refusals() -> None:
    with pytest.raises(ModelError, match=r"upsampling = 'cubic': give one of bilinear, transposed"):
        build_upsampling("cubic", 3)
    with pytest.raises(ModelError, match="factor = 1: give a whole number from 2 to 15"):
        build_upsampling("bilinear", 3, factor=1)
    with pytest.raises(ModelError, match="factor = 16"):
        PoolWithIndices(16)
    with pytest.raises(ShapeMismatchError, match=r"\(4, 7\) are no multiple of 2"):
        PoolWithIndices(2)(torch.zeros(1, 1, 4, 7))
    with pytest.raises(ShapeMismatchError, match=r"size_like is \(4, 5\); 2 times \(2, 3\) is \(4, 6\)"):
        build_upsampling("naive_unpooling", 1)(ROWS, size_like=torch.zeros(1, 1, 4, 5))
    with pytest.raises(ShapeMismatchError, match=r"indices of that pooling, \(1, 1, 2, 3\); found none"):
        enlarge("indices_unpooling")
    with pytest.raises(ShapeMismatchError, match=r"found \(1, 1, 2, 2\)"):
        enlarge("indices_unpooling", indices=torch.zeros(1, 1, 2, 2))
