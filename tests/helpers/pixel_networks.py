"""Small pixel networks with signals that are alive, and their exports."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from weakseg.models.pixel.registry import build_pixel_network

SMALLEST = {"width": 0.01}  # eight channels everywhere, in VGG
OPTIONS = {
    "fcn32s_vgg16": SMALLEST,
    "fcn16s_vgg16": SMALLEST,
    "fcn8s_vgg16": SMALLEST,
    "fcn32s_mobilenet_v2": {"width": 0.1},
    "fcn16s_mobilenet_v2": {"width": 0.1},
    "fcn8s_mobilenet_v2": {"width": 0.1},
    "segnet_vgg16": SMALLEST,
    "deconvnet_vgg16": SMALLEST,
    "deeplab_largefov_vgg16": SMALLEST,
}


def build_small(name: str, outputs: int = 4) -> nn.Module:
    """The network in eval mode, as it starts, always with the same random numbers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_pixel_network(name, outputs, OPTIONS[name]).eval()


def build_lively(name: str, outputs: int = 4) -> nn.Module:
    """The same with score layers that say something, and batch norm that keeps signals at 1."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_pixel_network(name, outputs, OPTIONS[name])
        for layer_name, layer in network.named_modules():
            if layer_name.startswith("score"):
                nn.init.normal_(layer.weight)
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = 1.0
        with torch.no_grad():
            network.train()(torch.randn(2, 3, 96, 128))
    return network.eval()


def export(network: nn.Module, folder: Path) -> tuple[torch.jit.ScriptModule, onnxruntime.InferenceSession]:
    """TorchScript, and ONNX from it, as `export.torchscript` and `export.onnx` do it for graphs."""
    images = torch.randn(2, 3, 70, 100)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated")
        warnings.filterwarnings("ignore", "You are using the legacy TorchScript-based ONNX export", DeprecationWarning)
        warnings.filterwarnings("ignore", "The feature will be removed", DeprecationWarning)
        warnings.filterwarnings("ignore", "Constant folding - Only steps=1", UserWarning)  # of a padding's widths
        warnings.filterwarnings("ignore", "no signature found for <torch.ScriptMethod", UserWarning)
        torch.jit.save(torch.jit.trace(network, images, check_trace=False), folder / "model.pt")
        traced = torch.jit.load(folder / "model.pt")
        torch.onnx.export(
            traced,
            (images,),
            folder / "model.onnx",
            dynamo=False,
            opset_version=18,
            input_names=["images"],
            output_names=["logits"],
            dynamic_axes={"images": {0: "B", 2: "h", 3: "w"}, "logits": {0: "B", 2: "h", 3: "w"}},
        )
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    return traced, session


def ask(session: onnxruntime.InferenceSession, images: Tensor) -> NDArray[np.float32]:
    logits: NDArray[np.float32] = session.run(["logits"], {"images": images.numpy()})[0]
    return logits
