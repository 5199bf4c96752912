"""Saliency as one exported graph, as simple as it gets: what the tape's parity is measured on, without queries."""

from __future__ import annotations

import warnings
from pathlib import Path

import onnxruntime
import torch
from torch import Tensor, nn

from weakseg.models.tape import INPUT, OUTPUT, Tape

OPSET = 18
INPUTS = {"images": {0: "B", 2: "h", 3: "w"}, "seeds": {0: "B", 1: "K"}}
OUTPUTS = {"logits": {0: "B"}, "maps": {0: "B", 1: "K", 2: "map_h", 3: "map_w"}}


class SaliencyGraph(nn.Module):
    """Simonyan et al. 2013: the absolute gradient of the seeded logits, its maximum over colours."""

    def __init__(self, tape: Tape) -> None:
        super().__init__()
        self.tape = tape

    def forward(self, images: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised images (B, 3, h, w) and seeds (B, K, C) to logits (B, C) and maps (B, K, h, w)."""
        values = self.tape.run(images)
        gradients = self.tape.pull_back(values, {OUTPUT: seeds}, [INPUT])[INPUT]  # (B, K, 3, h, w)
        return values.output, gradients.abs().amax(2)


def export_graph(graph: nn.Module, path: Path) -> None:
    """Write PATH.pt and PATH.onnx, as `export` does it: one trace, two files, every size dynamic."""
    tape = graph.tape
    assert isinstance(tape, Tape)
    example = (torch.randn(2, 3, 80, 112), torch.randn(2, 3, tape.class_count))  # (B, 3, h, w), (B, K, C)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated")
        warnings.filterwarnings("ignore", "You are using the legacy TorchScript-based ONNX export", DeprecationWarning)
        warnings.filterwarnings("ignore", "The feature will be removed", DeprecationWarning)
        warnings.filterwarnings("ignore", "no signature found for <torch.ScriptMethod", UserWarning)
        warnings.filterwarnings("ignore", "Constant folding - Only steps=1", UserWarning)  # how it writes padding
        torch.jit.save(torch.jit.trace(graph, example, check_trace=False), path.with_suffix(".pt"))
        torch.onnx.export(
            torch.jit.load(path.with_suffix(".pt")).eval(),
            example,
            path.with_suffix(".onnx"),
            dynamo=False,
            opset_version=OPSET,
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            dynamic_axes=INPUTS | OUTPUTS,
        )


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """ONNX Runtime on one thread of the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path.with_suffix(".onnx"), options, providers=["CPUExecutionProvider"])
