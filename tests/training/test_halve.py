"""Checkpoints in half precision: what changes, and what does not."""

from __future__ import annotations

from pathlib import Path

import torch

from training.halve import halve


def test_weights_are_halved_and_all_else_stays_but_for_the_folder(tmp_path: Path) -> None:
    state = {"a.weight": torch.tensor([1.0, 0.1]), "norm.num_batches_tracked": torch.tensor(70_000)}
    data = {"root": "/somewhere/lfw_hair", "train": 3}
    torch.save({"state_dict": state, "network": "conv_deconv", "data": data}, tmp_path / "best.pt")
    halve(tmp_path / "best.pt", tmp_path / "hair.pt")
    found = torch.load(tmp_path / "hair.pt", weights_only=True)
    weight, count = found["state_dict"].values()
    assert weight.dtype == torch.float16
    torch.testing.assert_close(weight.float(), state["a.weight"], atol=1e-4, rtol=0)
    assert count.dtype == torch.int64
    assert int(count) == 70_000
    assert found["network"] == "conv_deconv"
    assert found["data"] == {"root": "lfw_hair", "train": 3}
