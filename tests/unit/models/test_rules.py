"""Every operator's backward rule: small cases by hand, and all against autograd in a network of one operator."""

import operator
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.helpers.gradients import difference
from weakseg.models.aggregation import LogSumExp
from weakseg.models.pooling import MaxPool, Window, share_out
from weakseg.models.rules import Visit
from weakseg.models.tape import INPUT, OUTPUT, record_tape

CHANNELS = 4
Operator = Callable[[Tensor], Tensor]


class Around(nn.Module):
    """A convolution, the operator (a module, or a function), something curved, and a mean over positions."""

    def __init__(self, operator: nn.Module | Operator, *, pooled: bool = False) -> None:
        super().__init__()
        self.pooled = pooled  # the operator leaves no positions
        self.stem = nn.Conv2d(3, CHANNELS, 3)
        self.operator = operator
        self.bend = nn.Tanh()

    def forward(self, images: Tensor) -> Tensor:
        found = self.bend(self.operator(self.stem(images)))
        return found if self.pooled else found.mean((2, 3))


class LayerScale(nn.Module):
    """As ConvNeXt has it."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.linspace(0.5, 2, CHANNELS)[:, None, None])

    def forward(self, values: Tensor) -> Tensor:
        return self.scale * values


def pool(**settings: object) -> Operator:
    return lambda x: F.max_pool2d(x, **settings)


MODULES: list[nn.Module] = [
    nn.Conv2d(CHANNELS, 5, 3, padding=1),
    nn.Conv2d(CHANNELS, 5, (3, 2), stride=(2, 3), padding=(1, 0), bias=False),
    nn.Conv2d(CHANNELS, 6, 3, dilation=2, padding=2, groups=2),
    nn.Conv2d(CHANNELS, 6, 3, dilation=2, stride=2, padding=1, groups=2),
    nn.Conv2d(CHANNELS, CHANNELS, 5, padding=2, groups=CHANNELS),
    nn.Conv2d(CHANNELS, 2 * CHANNELS, 3, stride=2, padding=1, groups=CHANNELS),
    nn.Conv2d(CHANNELS, 5, 1, padding=1),
    nn.Conv2d(CHANNELS, 5, 4, stride=4),
    nn.Conv2d(CHANNELS, 5, 3, padding="same"),
    nn.Sequential(nn.Conv2d(CHANNELS, 5, 3), nn.BatchNorm2d(5)),
    nn.Sequential(nn.BatchNorm2d(CHANNELS), nn.ReLU(inplace=True), nn.BatchNorm2d(CHANNELS, affine=False)),
    nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(0.2), nn.SiLU(), nn.GELU(), nn.Sigmoid(), nn.Tanh(), nn.Hardswish(),
    nn.Hardsigmoid(), nn.Dropout(), nn.Identity(),
    nn.MaxPool2d(2), nn.MaxPool2d(3, 2), nn.MaxPool2d(3, 2, ceil_mode=True), nn.MaxPool2d(3, 2, 1),
    nn.MaxPool2d(3, 1, 1), nn.MaxPool2d(2, 3), nn.MaxPool2d((2, 5), (3, 2), (1, 2), ceil_mode=True),
    nn.AvgPool2d(2), nn.AvgPool2d(3, 2, 1), nn.AvgPool2d((2, 3), (1, 2)),
    nn.AdaptiveAvgPool2d(1), nn.AdaptiveAvgPool2d((6, 5)), nn.AdaptiveMaxPool2d(1),
    nn.Sequential(nn.AdaptiveAvgPool2d((2, 3)), nn.Flatten(), nn.Linear(6 * CHANNELS, 5)),
]  # fmt: skip
FUNCTIONS: dict[str, Operator] = {
    "functional relu in place": lambda x: F.relu(x, inplace=True),
    "functional relu in place, by position": lambda x: F.relu(x, True),
    "method relu_": lambda x: x.relu_(),
    "functional silu": F.silu,
    "functional max pooling": pool(kernel_size=3, stride=2, ceil_mode=True),
    "functional average pooling": lambda x: F.avg_pool2d(x, kernel_size=3, stride=1, padding=1),
    "functional adaptive pooling": lambda x: F.adaptive_avg_pool2d(x, (1, 1)),
    "mean": lambda x: x.mean([2, 3]),
    "mean, kept": lambda x: x.mean((-2, -1), keepdim=True),
    "maximum": lambda x: x.amax((2, 3)),
    "layer norm": lambda x: F.layer_norm(x.permute(0, 2, 3, 1), (CHANNELS,)).permute(0, 3, 1, 2),
    "residual": lambda x: F.relu(x) + x,
    "residual, in place": lambda x: operator.iadd(1.5 * x, x),
    "twice the same": lambda x: x * x + (x + x),
    "difference": lambda x: 1 - x - torch.sigmoid(x),
    "numbers": lambda x: (2 * x + 1) / 3 - 0.5,
    "squeeze and excite": lambda x: torch.sigmoid(F.adaptive_avg_pool2d(x, 1)) * x,
    "log-sum-exp": LogSumExp(2.0),
    "repeated sum": lambda x: F.adaptive_avg_pool2d(x, 1) + x,
    "cat": lambda x: torch.cat([x, torch.tanh(x), x[:, 1].unsqueeze(1)], 1),
    "chunk": lambda x: x.chunk(2, 1)[1] * torch.sigmoid(x.chunk(2, dim=1)[0]),
    "shuffle": lambda x: x.view(x.shape[0], 2, 2, x.shape[2], x.shape[3]).transpose(1, 2).contiguous().flatten(1, 2),
}


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_modules(module: nn.Module) -> None:
    ends_flat = isinstance(module, nn.Sequential) and isinstance(module[-1], nn.Linear)
    compare_with_autograd(Around(module, pooled=ends_flat))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str) -> None:
    compare_with_autograd(Around(FUNCTIONS[name], pooled=name in ("mean", "maximum", "log-sum-exp")))


def test_a_parameter_as_a_factor() -> None:
    compare_with_autograd(Around(LayerScale()))


def compare_with_autograd(model: nn.Module) -> None:
    torch.manual_seed(0)
    model = model.double().eval()
    tape = record_tape(model, "around")
    for hw in ((23, 18), (16, 27)):
        images = torch.randn(2, 3, *hw, dtype=torch.float64, requires_grad=True)
        logits = model(images)  # (B, C)
        seeds = torch.randn(2, 3, logits.shape[1], dtype=torch.float64)  # (B, K, C)
        found = tape.pull_back(tape.run(images.detach()), {OUTPUT: seeds}, [INPUT])[INPUT]
        for index in range(3):
            (expected,) = torch.autograd.grad((logits * seeds[:, index]).sum(), images, retain_graph=True)
            assert difference(found[:, index], expected) < 1e-7  # autograd's own hardsigmoid has a float32 constant


def pull_max(values: list[list[float]], cotangent: list[list[float]], size: int, stride: int) -> list[list[float]]:
    """Back through a max pooling without padding, in one pass over one channel."""
    image = torch.tensor([[values]])  # (1, 1, h, w)
    rule = MaxPool(Window(size, stride, 0, False), Window(size, stride, 0, False))
    visit = Visit((image,), F.max_pool2d(image, size, stride), index=0, passes=1, guided=False)
    pulled: list[list[float]] = rule.pull_back(torch.tensor([[cotangent]]), visit)[0, 0].tolist()
    return pulled


def test_overlapping_windows_add_up_by_hand() -> None:
    values = [[0.0, 1, 0, 2, 0], [0, 0, 9, 0, 0], [3, 0, 0, 0, 4]]  # 9 is the maximum of both windows
    assert pull_max(values, [[10.0, 1.0]], 3, 2) == [[0, 0, 0, 0, 0], [0, 0, 11, 0, 0], [0, 0, 0, 0, 0]]


def test_the_first_of_equal_maxima_gets_everything_by_hand() -> None:
    assert pull_max([[5.0, 5, 1], [5, 5, 7]], [[2.0]], 2, 2) == [[2, 0, 0], [0, 0, 0]]
    assert pull_max([[1.0, 5], [5, 5]], [[2.0]], 2, 2) == [[0, 0], [2, 0]]
    assert pull_max([[1.0, 1], [1, 5]], [[2.0]], 2, 2) == [[0, 0], [0, 2]]


@pytest.mark.parametrize(("size", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (3, 1, 1)])
def test_ties_go_where_autograd_sends_them_in_the_transposed_image(size: int, stride: int, padding: int) -> None:
    images = torch.randint(0, 3, (2, 4, 11, 14)).double().requires_grad_(True)  # three values: ties everywhere
    pooled = F.max_pool2d(images, size, stride, padding)
    cotangent = torch.randn_like(pooled)
    (expected,) = torch.autograd.grad(pooled, images, cotangent)
    rule = MaxPool(Window(size, stride, padding, False), Window(size, stride, padding, False))
    visit = Visit((images.detach().mT,), pooled.detach().mT, index=0, passes=1, guided=False)
    torch.testing.assert_close(rule.pull_back(cotangent.mT, visit).mT, expected)


def test_parts_of_adaptive_pooling_by_hand() -> None:
    shares = share_out(torch.arange(3.0)[:, None], torch.arange(5.0))  # parts 0..1, 1..3, 3..4
    third = 1 / 3
    expected = [[0.5, 0.5, 0, 0, 0], [0, third, third, third, 0], [0, 0, 0, 0.5, 0.5]]
    torch.testing.assert_close(shares, torch.tensor(expected))


def test_guided_relu_by_hand() -> None:
    class Rectified(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return F.relu(images).mean((2, 3))

    tape = record_tape(Rectified(), "rectified")
    images = torch.tensor([-1.0, 2.0, 3.0, 4.0]).reshape(1, 1, 1, 4).expand(1, 3, 1, 4)
    values = tape.run(images)
    seeds = torch.tensor([[[4.0, -8.0, 0.0]]])  # (B, K, C)
    plain = tape.pull_back(values, {OUTPUT: seeds}, [INPUT])[INPUT]
    guided = tape.pull_back(values, {OUTPUT: seeds}, [INPUT], guided=True)[INPUT]
    assert plain[0, 0, :, 0].tolist() == [[0, 1, 1, 1], [0, -2, -2, -2], [0, 0, 0, 0]]
    assert guided[0, 0, :, 0].tolist() == [[0, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]]
