"""The graph as TorchScript."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor

from weakseg.attribution.graph import MapGraph
from weakseg.types import NO_LABEL

Inputs = tuple[Tensor, Tensor, Tensor, Tensor]
EXAMPLE_HW = (160, 224)


def export_torchscript(graph: MapGraph, path: Path, inputs: Inputs | None = None) -> None:
    """Trace the graph and write it. Batch size, image size and number of labels stay dynamic; the graph is unchanged.

    Tracing rather than scripting: the feature part comes from torch.fx, which scripts badly, and tracing keeps shapes
    that are passed on as tensors. What it could freeze is caught by the parity check at other sizes.
    """
    with warnings.catch_warnings(), torch.no_grad():
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated")
        traced = torch.jit.trace(graph, inputs or example_inputs(), check_trace=False)
        torch.jit.save(traced, path)


def example_inputs(hw: tuple[int, int] = EXAMPLE_HW, label_count: int = 2) -> Inputs:
    """A batch of two photos, not square, with three labels each: no dimension is 1 or equal to another by chance.

    Args:
        label_count: Of the graph; the second label is asked for where there is one.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, *hw, 3), dtype=torch.uint8, generator=generator)
    second = min(1, label_count - 1)
    labels = torch.tensor([[0, -1, -2], [-1, 0, second]])  # (B, K)
    among = torch.tensor([[0, second, NO_LABEL, NO_LABEL, NO_LABEL], [second, 0, second, 0, NO_LABEL]])  # (B, M)
    rivals = torch.tensor([[-1, -2, -3, NO_LABEL], [-1, -2, -3, -4]])  # (B, N)
    return images, labels, among, rivals
