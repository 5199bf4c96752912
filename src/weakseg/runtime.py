"""One face over ONNX Runtime and TorchScript: a batch in, scores and class maps out."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Protocol

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from weakseg.card import ModelCard
from weakseg.errors import ModelError
from weakseg.types import GraphOutput

ONNX_FILE = "model.onnx"
TORCHSCRIPT_FILE = "model.pt"
GRAPH_FILES = {"onnx": ONNX_FILE, "torchscript": TORCHSCRIPT_FILE}


class Runtime(Protocol):
    """Something that runs an exported graph."""

    name: str  # "onnx" or "torchscript"
    device: str  # "cpu" or "cuda:N"

    def run(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> GraphOutput:
        """One forward pass.

        Args:
            images: (B, h, w, 3) uint8 RGB.
            labels: (B, K) int64 label indices; -r asks for the r-th best-scoring label of the image.
        """
        ...


class OnnxRuntime:
    """ONNX Runtime with CUDA where its provider finds a GPU, else on the CPU."""

    name = "onnx"

    def __init__(self, graph: bytes, *, threads: int, gpu: int | None) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        providers: list[str | tuple[str, dict[str, int]]] = ["CPUExecutionProvider"]
        if gpu is not None:
            onnxruntime.preload_dlls()  # the CUDA libraries that came with PyTorch
            providers.insert(0, ("CUDAExecutionProvider", {"device_id": gpu}))
        self._session = onnxruntime.InferenceSession(graph, options, providers=providers)
        on_gpu = "CUDAExecutionProvider" in self._session.get_providers()
        self.device = f"cuda:{gpu}" if on_gpu else "cpu"

    def run(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> GraphOutput:
        outputs = self._session.run(["scores", "maps", "chosen"], {"images": images, "labels": labels})
        return GraphOutput(*outputs)


class TorchScriptRuntime:
    """LibTorch with CUDA where there is a GPU, else on the CPU. Sets PyTorch's thread count for the whole process."""

    name = "torchscript"

    def __init__(self, graph: bytes, *, threads: int, gpu: int | None) -> None:
        self.device = "cpu" if gpu is None else f"cuda:{gpu}"
        torch.set_num_threads(threads)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*torch.jit.*")
            self._module = torch.jit.load(io.BytesIO(graph), map_location=self.device).eval()  # type: ignore[no-untyped-call]

    def run(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> GraphOutput:
        with torch.inference_mode():
            outputs = self._module(
                torch.from_numpy(images).to(self.device), torch.from_numpy(labels).to(self.device)
            )  # scores (B, L), maps (B, K, h', w'), chosen (B, K)
        return GraphOutput(*(output.cpu().numpy() for output in outputs))


def open_runtime(card: ModelCard, read_file: Callable[[str], bytes], *, gpu: int | None = None) -> Runtime:
    """The runtime that the card names, loaded and warmed up.

    Args:
        card: Says which runtime and how many threads.
        read_file: File name inside the archive to its content.
        gpu: CUDA device number, or None for the CPU.
    Raises:
        ModelError: the archive has no graph for this runtime, or the graph does not fit the card.
    """
    try:
        graph = read_file(GRAPH_FILES[card.runtime])
    except (KeyError, FileNotFoundError) as error:
        raise ModelError(
            f"{card.name} says runtime: {card.runtime}, but holds no {GRAPH_FILES[card.runtime]}."
        ) from error
    kind = OnnxRuntime if card.runtime == "onnx" else TorchScriptRuntime
    runtime: Runtime = kind(graph, threads=card.threads, gpu=gpu)
    _warm_up(runtime, card)
    return runtime


def _warm_up(runtime: Runtime, card: ModelCard) -> None:
    """Pays for lazy initialisation and checks the label count, before the first request comes."""
    images = np.zeros((1, card.preprocessing.height, card.preprocessing.width, 3), np.uint8)
    for _ in range(2):  # TorchScript optimises on its second run
        output = runtime.run(images, np.zeros((1, 1), np.int64))
    if output.scores.shape[1] != len(card.vocabulary()):
        raise ModelError(
            f"{card.name}: the graph has {output.scores.shape[1]} labels, the card {len(card.vocabulary())}."
            " Export it again."
        )
