"""The GPU benchmark on a CPU: that it runs, and what it refuses."""

import numpy as np
import pytest
import torch
import typer

from benchmarks.crf_gpu import make_problems, measure, open_device
from weakseg.options import CrfEngineName


def test_photos_of_a_batch_differ() -> None:
    first, second = make_problems(2, 2)
    assert first.rgb.shape == (375, 500, 3)
    assert not np.array_equal(first.rgb, second.rgb)
    assert not np.array_equal(first.logits, second.logits)


def test_one_case_on_the_cpu() -> None:
    row = measure(make_problems(2, 1), CrfEngineName.FASTEST, torch.device("cpu"), rounds=1, graph=True)
    assert row["batch"] == 1
    assert row["memory MiB"] is None
    assert float(row["equal"]) > 95
    assert not any("replayed" in column for column in row)


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(typer.BadParameter, match="--device cpu"):
        open_device("cuda")
    assert open_device("cpu").type == "cpu"
