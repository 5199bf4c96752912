"""The graph as TorchScript."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor

from weakseg.attribution.cam import CamGraph


def export_torchscript(graph: CamGraph, path: Path) -> None:
    """Trace the graph and write it. Batch size, image size and number of labels stay dynamic; the graph is unchanged.

    Tracing rather than scripting: the feature part comes from torch.fx, which scripts badly, and tracing keeps shapes
    that are passed on as tensors. What it could freeze is caught by the parity check at other sizes.
    """
    with warnings.catch_warnings(), torch.no_grad():
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated")
        traced = torch.jit.trace(graph, example_inputs(), check_trace=False)
        torch.jit.save(traced, path)


def example_inputs() -> tuple[Tensor, Tensor]:
    """A batch of two photos, not square, and three labels each: no dimension is 1 or equal to another by chance."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 160, 224, 3), dtype=torch.uint8, generator=generator)
    return images, torch.tensor([[0, -1, -2], [-1, 0, 1]])  # (B, h, w, 3), (B, K)
