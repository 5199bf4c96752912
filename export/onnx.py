"""The graph as ONNX, made from the TorchScript file: one trace, two files."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from export.torchscript import Inputs, example_inputs

OPSET = 18
INPUTS = {
    "images": {0: "B", 1: "h", 2: "w"},
    "labels": {0: "B", 1: "K"},
    "among": {0: "B", 1: "M"},
    "rivals": {0: "B", 1: "N"},
}
OUTPUTS = {"scores": {0: "B"}, "maps": {0: "B", 1: "K", 2: "map_h", 3: "map_w"}, "chosen": {0: "B", 1: "K"}}


def export_onnx(torchscript: Path, path: Path, inputs: Inputs | None = None) -> None:
    """Convert a graph written by ``export_torchscript``; B, K, h and w stay dynamic.

    PyTorch's older exporter (``dynamo=False``) does this: the newer one ties height and width down where a network
    pools in ceil mode, as SqueezeNet does. It starts from the saved graph, because from the Python module it takes
    map sizes behind a reshape for constants.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.load` is deprecated")
        traced = torch.jit.load(torchscript).eval()
        warnings.filterwarnings("ignore", "You are using the legacy TorchScript-based ONNX export", DeprecationWarning)
        warnings.filterwarnings("ignore", "The feature will be removed", DeprecationWarning)
        warnings.filterwarnings("ignore", "Constant folding - Only steps=1", UserWarning)  # every second row of a pool
        warnings.filterwarnings("ignore", "no signature found for <torch.ScriptMethod", UserWarning)
        torch.onnx.export(
            traced,
            inputs or example_inputs(),
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            dynamic_axes=INPUTS | OUTPUTS,
        )
