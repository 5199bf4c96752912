"""Which graphs are timed where, and that a median stands in the table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import pixel_latency
from benchmarks.photo import benchmark_photo
from benchmarks.pixel_latency import Latency, measure_latencies
from tests.helpers.colour_archive import write_pixel_archive
from weakseg.archive import Archive, open_archive
from weakseg.card import ModelCard
from weakseg.runtime import Runtime, open_runtime

Opened = list[tuple[str, int, int | None]]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    """Runtime, threads and GPU of whatever is opened; all of it runs as TorchScript on the CPU."""
    asked: Opened = []

    def open_any(card: ModelCard, read_file: Callable[[str], bytes], *, gpu: int | None = None) -> Runtime:
        asked.append((card.runtime, card.threads, gpu))
        return open_runtime(card.model_copy(update={"runtime": "torchscript"}), read_file)

    monkeypatch.setattr(pixel_latency, "open_runtime", open_any)
    return asked


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return open_archive(write_pixel_archive(tmp_path / "colours.mar", threads=3))


@pytest.mark.parametrize("has_gpu", [False, True])
def test_both_runtimes_the_request_and_the_gpu_where_there_is_one(
    archive: Archive, opened: Opened, monkeypatch: pytest.MonkeyPatch, has_gpu: bool
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: has_gpu)
    found = measure_latencies({"colours": archive}, benchmark_photo(), 3)["colours"]
    assert opened[:3] == [("onnx", 1, None), ("torchscript", 1, None), ("onnx", 1, None)]
    assert opened[3:] == ([("torchscript", 1, 0)] if has_gpu else [])
    assert (found.gpu_ms is not None) == has_gpu
    assert found.request_ms > 0


def test_medians_after_a_warm_up(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    times_ms = iter([100.0] * pixel_latency.WARM_UP_ROUNDS + [5.0, 1.0, 3.0])
    cases = {"onnx": lambda: next(times_ms), "torchscript": lambda: 2.0, "request": lambda: 4.0}
    monkeypatch.setattr(pixel_latency, "_cases", lambda *_: cases)
    assert measure_latencies({"a": archive}, b"", 3) == {"a": Latency(3.0, 2.0, 4.0, None)}
