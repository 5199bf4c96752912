"""Conv-deconv networks: mirrors, shared weights, skips and standardisation, worked out by hand or by NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.helpers.pixel_networks import ask, export
from weakseg.errors import ModelError
from weakseg.models.pixel.conv_deconv import BEST_OF_THE_SLIDES, build_conv_deconv, deconvolve, standardise_images
from weakseg.models.pixel.registry import build_pixel_network
from weakseg.models.pixel.upsampling import UPSAMPLINGS

SMALL = "C5,8,2C5,8,1M2C3,12,2M3"  # total stride 24
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "shared": {"shared": True},
    "everything": {"shared": True, "skips": True, "standardise": True, "batch_norm": True},
    "stride one": {"strides": "one", "skips": True},
    "repeats": {"third": "repeats"},
}


def build(spec: str = SMALL, outputs: int = 3, **options: Any) -> nn.Module:
    """With random weights that are always the same, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_conv_deconv(outputs, spec=spec, **options).eval()


def run(network: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        logits: Tensor = network(images)
    return logits


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("hw", [(16, 16), (17, 40), (24, 48), (49, 31)])
def test_any_size_comes_back(options: Mapping[str, Any], hw: tuple[int, int]) -> None:
    assert run(build(**options), torch.randn(2, 3, *hw)).shape == (2, 3, *hw)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
def test_a_deconvolution_is_the_transpose_of_its_convolution(stride: int, kernel: int) -> None:
    weight = torch.randn(4, 2, kernel, kernel, dtype=torch.float64)
    x = torch.randn(2, 2, 6 * stride, 5 * stride, dtype=torch.float64)
    y = torch.randn(2, 4, 6, 5, dtype=torch.float64)
    convolved = F.conv2d(x, weight, stride=stride, padding=kernel // 2)
    assert convolved.shape == y.shape
    torch.testing.assert_close((convolved * y).sum(), (x * deconvolve(y, weight, None, stride)).sum())


@pytest.mark.parametrize("stride", [1, 2])
def test_a_deconvolution_by_hand(stride: int) -> None:
    weight = torch.tensor([[[[1.0, 2, 3], [4, 5, 6], [7, 8, 9]]]])
    spike = torch.zeros(1, 1, 2, 3)
    spike[0, 0, 1, 1] = 1
    made = deconvolve(spike, weight, torch.tensor([100.0]), stride)[0, 0] - 100
    rows = [[0, 0, 0], [1, 2, 3], [4, 5, 6]] if stride == 1 else [[0, 0, 0], [1, 2, 3], [4, 5, 6], [7, 8, 9]]
    expected = rows[1:] if stride == 1 else [[0, *row, 0, 0] for row in rows]
    assert made.tolist() == expected


def by_hand(skips: bool) -> nn.Module:
    """C1,1 M2 C1,1: x = 2 r; p = max(x); y = p - 3; and back: 10 y + 1; to its cell; times -1 and 1."""
    network = build("C1,1,1M2C1,1,1", outputs=2, skips=skips)
    outer, _, inner = network.stages
    with torch.no_grad():
        outer.convolution.weight.copy_(torch.tensor([2.0, 0, 0]).reshape(1, 3, 1, 1))
        outer.mirror_weight.copy_(torch.tensor([-1.0, 1]).reshape(1, 2, 1, 1))
        outer.mirror_bias.copy_(torch.tensor([0.0, 0.5]))
        inner.convolution.weight.fill_(1)
        inner.convolution.bias.fill_(-3)
        inner.mirror_weight.fill_(10)
        inner.mirror_bias.fill_(1)
    return network


def test_a_whole_network_by_hand() -> None:
    images = torch.zeros(1, 3, 2, 4)
    images[0, 0] = torch.tensor([[1.0, 2, 0, 1], [0, -5, 1, 0]])
    # x: [[2, 4, 0, 2], [0, 0, 2, 0]]; p: [4, 2]; y: [1, 0]; back: [11, 1]; to the first maxima of each window
    without = torch.tensor([[0.0, 11, 0, 1], [0, 0, 0, 0]])
    logits = run(by_hand(skips=False), images)
    assert torch.equal(logits[0, 0], -without)
    assert torch.equal(logits[0, 1], without + 0.5)
    # with skips: back: [11 + 4, 1 + 2]; then + x
    added = torch.tensor([[2.0, 4 + 15, 0, 2 + 3], [0, 0, 2, 0]])
    assert torch.equal(run(by_hand(skips=True), images)[0, 1], added + 0.5)


def test_parameters_by_hand() -> None:
    encoder = 3 * 8 * 25 + 8 * 8 * 25 + 8 * 12 * 9  # its kernels
    logits = 8 * 3 * 25
    encoder_biases, mirror_biases = 8 + 8 + 12, 3 + 8 + 8
    biases = encoder_biases + mirror_biases
    assert count(build()) == encoder + logits + (encoder - 3 * 8 * 25) + biases
    assert count(build(shared=True)) == encoder + logits + biases
    assert (
        count(build(shared=True, batch_norm=True)) == encoder + logits + 2 * biases - 3
    )  # logits have their bias only
    assert count(build(shared=True, upsampling="learned_unpooling")) == count(build(shared=True)) + 8 * 4 + 12 * 9
    assert count(build(shared=True, skips=True, standardise=True)) == count(build(shared=True))


def test_shared_weights_learn_from_both_uses() -> None:
    shared, apart = build(shared=True), build()
    apart.load_state_dict(shared.state_dict(), strict=False)
    with torch.no_grad():
        for stage in apart.stages[1:]:
            if hasattr(stage, "convolution"):
                stage.mirror_weight.copy_(stage.convolution.weight)
    images = torch.randn(2, 3, 24, 48)
    for network in (shared, apart):
        network(images).square().mean().backward()
    torch.testing.assert_close(run(shared, images), run(apart, images))
    for ours, theirs in zip(shared.stages, apart.stages, strict=True):
        if not hasattr(ours, "convolution") or ours.mirror_weight is not None:
            continue
        there, back = theirs.convolution.weight.grad, theirs.mirror_weight.grad
        assert there.abs().max() > 0
        assert back.abs().max() > 0
        torch.testing.assert_close(ours.convolution.weight.grad, there + back)


def test_shared_weights_are_in_the_state_dict_once() -> None:
    state = build(shared=True).state_dict()
    assert [name for name in state if name.endswith("mirror_weight")] == ["stages.0.mirror_weight"]


def test_standardisation_beside_numpy() -> None:
    images = 3 * torch.randn(3, 3, 5, 8) + torch.tensor([0.0, 5, -40])[:, None, None, None]
    images[1] = 0.001 * images[1].sign()
    images[2] = 7
    for standardised, image in zip(standardise_images(images), images.numpy().astype(np.float64), strict=True):
        deviation = max(image.std(), 1 / np.sqrt(image.size))
        np.testing.assert_allclose(standardised.numpy(), (image - image.mean()) / deviation, atol=1e-5)


def test_a_standardising_network_does_not_see_light_or_contrast() -> None:
    images = torch.randn(2, 3, 20, 30)
    changed = images * torch.tensor([0.2, 3.0])[:, None, None, None] + torch.tensor([1.0, -2.0])[:, None, None, None]
    network = build(standardise=True)
    torch.testing.assert_close(run(network, changed), run(network, images), rtol=1e-3, atol=1e-4)
    assert not torch.allclose(run(build(), changed), run(build(), images), rtol=1e-2)


def test_options_change_the_layers() -> None:
    assert build(strides="one").total_stride == 6
    assert build(third="repeats").total_stride == 6
    assert len(build(third="repeats").stages) == 2 + 1 + 1 + 2 + 1
    assert build(width=0.5).stages[3].convolution.weight.shape == (6, 4, 3, 3)
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in build(batch_norm=True).modules()) == 3 + 2


def test_the_registry_builds_it() -> None:
    network = build_pixel_network("conv_deconv", 2, {"spec": BEST_OF_THE_SLIDES, "shared": True, "skips": True})
    kernels = (3 * 64 + 5 * 64 * 64 + 64 * 2) * 25
    assert count(network) == kernels + 6 * 64 + 2 + 5 * 64


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_signals_and_gradients_reach_every_parameter(options: Mapping[str, Any]) -> None:
    network = build(**options).train()
    logits = network(torch.randn(4, 3, 48, 72))
    assert 1e-3 < float(logits.detach().std()) < 2
    logits.square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_it_learns_where_a_bright_square_is() -> None:
    torch.manual_seed(0)
    network = build("C3,8,2C3,8,1M2C3,8,1", outputs=2, skips=True, shared=True).train()
    images, targets = 0.1 * torch.randn(4, 3, 20, 28), torch.zeros(4, 20, 28, dtype=torch.int64)
    for item in range(4):
        rows, columns = slice(3 * item, 3 * item + 8), slice(5 * item, 5 * item + 7)
        images[item, :, rows, columns] += 1
        targets[item, rows, columns] = 1
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(network(images), targets).backward()
        optimizer.step()
    found = run(network.eval(), images).argmax(1)
    assert (found == targets).float().mean() > 0.98  # 90 % are background


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("upsampling", ["indices_unpooling", "learned_unpooling"])
def test_exports_agree_at_any_batch_and_size(options: Mapping[str, Any], upsampling: str, tmp_path: Path) -> None:
    _assert_exports_agree(build(**options, upsampling=upsampling), tmp_path)


@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
def test_exports_agree_with_every_upsampling(upsampling: str, tmp_path: Path) -> None:
    _assert_exports_agree(build("C3,6,2M2C3,6,1", upsampling=upsampling, skips=True), tmp_path)


def _assert_exports_agree(network: nn.Module, folder: Path) -> None:
    traced, session = export(network, folder)
    for shape in [(1, 3, 16, 23), (3, 3, 48, 96), (2, 3, 45, 31)]:
        images = torch.randn(shape)
        expected = run(network, images)
        assert expected.std() > 1e-3
        tolerance = 1e-5 * float(expected.abs().max())
        torch.testing.assert_close(run(traced, images), expected, rtol=1e-5, atol=tolerance)
        torch.testing.assert_close(torch.from_numpy(ask(session, images)), expected, rtol=1e-4, atol=10 * tolerance)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spec": "C5,64,2N2"}, "position 8: found 'N'"),
        ({"strides": "two"}, "strides = 'two': give as_written or one."),
        ({"width": 0}, "width = 0: give a factor above 0"),
        ({"width": "half"}, "width = 'half': give a factor"),
        ({"spec": 5}, "spec = 5: give a string such as C5,64,2"),
        ({"upsampling": "cubic"}, "upsampling = 'cubic': give one of bilinear"),
        ({"shared": "yes"}, "shared = 'yes': give true or false."),
        ({"third": "x"}, "third = 'x': give stride or repeats."),
        ({"spec": "C31,4096,x64"}, "weights are more than 500,000,000"),
        ({"spec": "C31,512,x8", "width": 8}, "weights are more than 500,000,000"),
    ],
)
def test_refusals(options: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ModelError) as refusal:
        build_conv_deconv(2, **{"spec": SMALL, **options})
    assert message in str(refusal.value)
