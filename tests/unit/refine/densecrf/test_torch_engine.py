"""What is particular to the PyTorch engine: tensors in and out, a host that never waits, room that runs out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.helpers.crf_engines import cat, problem, soft_logits
from weakseg.errors import CrfInputError, ShapeMismatchError
from weakseg.options import CrfEngineName
from weakseg.refine.densecrf import torch_engine
from weakseg.refine.densecrf.problem import CrfProblem, Kernels
from weakseg.refine.densecrf.torch_engine import TorchEngine
from weakseg.refine.densecrf.torch_problem import TensorProblem

CPU = torch.device("cpu")
CUSTOMARY = Kernels(3, 3, 80, 13, 10)
LEVELS = [CrfEngineName.EXACT, CrfEngineName.FAST, CrfEngineName.FASTEST]

# Operators that hand a number or a shape of theirs to the host, or whose result's shape depends on values.
WAITING = {
    "_local_scalar_dense",
    "item",
    "nonzero",
    "nonzero_numpy",
    "masked_select",
    "unique",
    "_unique",
    "_unique2",
    "unique_dim",
    "unique_consecutive",
    "bincount",
    "repeat_interleave",
    "equal",
    "is_nonzero",
    "allclose",
}


class NobodyWaits(TorchDispatchMode):
    """Refuses operators after which, on CUDA, the host would wait for the device; counts the others."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        assert name not in WAITING, f"{name} waits for the device"
        if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
            assert all(index is None or index.dtype != torch.bool for index in args[1]), f"{name} by a mask waits"
        self.calls += 1
        return func(*args, **(kwargs or {}))


def tensors_of(problems: Sequence[CrfProblem]) -> list[TensorProblem]:
    return [TensorProblem.uploaded(one, CPU) for one in problems]


def batch() -> list[CrfProblem]:
    return [
        problem(2, (130, 150), CUSTOMARY),
        problem(2, (150, 130), CUSTOMARY),
        problem(3, (130, 150), CUSTOMARY),
        problem(4, (20, 33), Kernels(1.5, (1.0, 2.0, 3.0, 4.0), 8, 20, 5)),
        problem(1, (3, 2)),
        problem(2, (4, 6), steps=0),
    ]


@pytest.mark.parametrize("level", LEVELS)
def test_the_host_never_waits(level: CrfEngineName) -> None:
    asked = tensors_of(batch())
    engine = TorchEngine(level, static=True)
    with NobodyWaits() as watched:
        found = engine.infer_tensors(asked)
    assert watched.calls > 100
    for one, expected in zip(found, TorchEngine(level, static=False)(batch()), strict=True):
        assert np.abs(one.numpy() - expected).max() < (1e-4 if len(expected) < 3 else 0.05), (
            "without room that is known before, labels that are nowhere plausible are left out"
        )


def test_the_watch_sees_what_waits() -> None:
    flags = torch.tensor([True, False])
    for waits in (lambda: flags.nonzero(), lambda: flags[0].item(), lambda: flags[flags], lambda: bool(flags.any())):
        with NobodyWaits(), pytest.raises(AssertionError, match="waits"):
            waits()


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("level", LEVELS)
def test_tensors_give_what_arrays_give_and_stay_as_they_are(level: CrfEngineName, static: bool) -> None:
    asked = tensors_of(batch())
    before = [(one.logits.clone(), one.rgb.clone()) for one in asked]
    engine = TorchEngine(level, static=static)
    found = engine.infer_tensors(asked)
    for one, expected in zip(found, engine(batch()), strict=True):
        assert np.array_equal(one.numpy(), expected)
    for one, (logits, rgb) in zip(asked, before, strict=True):
        assert torch.equal(one.logits, logits)
        assert torch.equal(one.rgb, rgb)


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("labels", [2, 4])
def test_a_photo_that_is_not_finite_is_nan_and_its_neighbours_are_not(labels: int, static: bool) -> None:
    good, bad = problem(labels), problem(labels)
    bad.logits[0, 3, 4] = np.nan
    engine = TorchEngine(CrfEngineName.FAST, static=static)
    first, second, third = engine.infer_tensors(tensors_of([good, bad, good]))
    assert second.isnan().all()
    for one in (first, third):
        assert np.abs(one.numpy() - engine([good])[0]).max() < 1e-5


def noise(hw: tuple[int, int]) -> CrfProblem:
    """Nearly as many vertices as there can be."""
    rgb = np.random.default_rng(0).integers(0, 256, (*hw, 3), np.uint8)
    return CrfProblem(soft_logits(2, hw), rgb, Kernels(2, 3, 4, 4, 5), 4)


def test_a_lattice_that_does_not_fit_is_nan_on_the_device_and_gets_more_room_from_the_host() -> None:
    engine = TorchEngine(CrfEngineName.EXACT, static=True)
    [lacking] = engine.infer_tensors(tensors_of([noise((140, 130))]), vertices_per_sample=1)
    [enough] = engine.infer_tensors(tensors_of([noise((140, 130))]), vertices_per_sample=6)
    assert lacking.isnan().all()
    assert not enough.isnan().any()
    assert np.array_equal(engine([noise((140, 130))])[0], enough.numpy())


def test_room_that_was_too_small_is_no_error_of_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_engine, "_ALWAYS_ROOM", 10)
    wide = CrfProblem(soft_logits(2, (40, 30)), noise((40, 30)).rgb, Kernels(2, 3, 400, 8, 5), 4)
    [lacking] = TorchEngine(CrfEngineName.EXACT, static=True).infer_tensors(tensors_of([wide]))
    assert lacking.isnan().all(), "far more colours than in any photo"
    found = TorchEngine(CrfEngineName.EXACT, static=True)([wide])[0]
    assert np.array_equal(found, TorchEngine(CrfEngineName.EXACT)([wide])[0])


@pytest.mark.parametrize("vertices_per_sample", [1, 2.5, 6, 60])
def test_more_room_changes_nothing(vertices_per_sample: float) -> None:
    engine = TorchEngine(CrfEngineName.EXACT, static=True)
    [found] = engine.infer_tensors(tensors_of([problem()]), vertices_per_sample=vertices_per_sample)
    assert np.array_equal(found.numpy(), TorchEngine(CrfEngineName.EXACT, static=False)([problem()])[0])


def test_static_batches_give_the_bytes_of_single_photos() -> None:
    """But for matrix products, which may add up in another order in a batch of another size."""
    kernels = Kernels(1.5, 0, 8, 20, 5)
    asked = [problem(2, (24, 36), kernels), problem(2, (36, 24), kernels), problem(2, (24, 36), kernels)]
    engine = TorchEngine(CrfEngineName.EXACT, static=True)
    for one, other in zip(engine(asked), (engine([each])[0] for each in asked), strict=True):
        assert np.array_equal(one, other)


def test_keys_of_64_bits_give_what_keys_of_32_do() -> None:
    """Beside a photo with narrow kernels, keys of all become longer; and a batch that is too long for them is cut."""
    wide, narrow = problem(2, (24, 36)), problem(2, (24, 36), Kernels(1.5, 3, 0.3, 0.3, 5))
    engine = TorchEngine(CrfEngineName.EXACT, static=True)
    expected = engine([wide])[0]
    for found in (engine([wide, narrow])[0], engine([wide] + [narrow] * 40)[0]):
        assert np.abs(found - expected).max() < 1e-5


def test_large_photos_with_narrow_kernels_fit_keys_too() -> None:
    rgb = np.broadcast_to(cat((1, 40)), (3000, 40, 3))
    asked = CrfProblem(soft_logits(2, (3000, 40)), rgb, Kernels(1, 3, 1e-3, 1e-3, 5), 1)
    [found] = TorchEngine(CrfEngineName.EXACT)([asked])
    assert np.isfinite(found).all()


def test_tensors_are_checked_as_arrays_are() -> None:
    logits, rgb = torch.zeros(2, 4, 6), torch.zeros(4, 6, 3, dtype=torch.uint8)
    with pytest.raises(ShapeMismatchError):
        TensorProblem(logits, rgb[:3], CUSTOMARY, 1)
    with pytest.raises(CrfInputError):
        TensorProblem(logits, rgb, Kernels(0, 1, 1, 1, 1), 1)


@pytest.mark.parametrize("level", [CrfEngineName.FAST, CrfEngineName.FASTEST])
def test_labels_that_are_nowhere_plausible_change_little(level: CrfEngineName) -> None:
    """Eight of ten labels are at most 0.01 probable anywhere: their pixels' sums stay, and so do the other labels."""
    asked = problem(2, (70, 90), CUSTOMARY)
    faint = asked.logits.min(0) - 5 - np.arange(8, dtype=np.float32)[:, None, None] / 10
    many = CrfProblem(np.concatenate([asked.logits, faint]), asked.rgb, CUSTOMARY, 5)
    [found], [expected] = TorchEngine(level)([many]), TorchEngine(CrfEngineName.EXACT)([many])
    assert np.allclose(found.sum(0), 1, atol=1e-5)
    assert np.abs(found - expected).max() < 0.01
    assert (found[2:-1] >= found[3:]).all(), "as their logits say"
