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
from weakseg.types import NO_LABEL, GraphOutput, Query

ONNX_FILE = "model.onnx"
TORCHSCRIPT_FILE = "model.pt"
GRAPH_FILES = {"onnx": ONNX_FILE, "torchscript": TORCHSCRIPT_FILE}


class Runtime(Protocol):
    """Something that runs an exported graph."""

    name: str  # "onnx" or "torchscript"
    device: str  # "cpu" or "cuda:N"

    def run(self, images: NDArray[np.uint8], query: Query) -> GraphOutput:
        """One forward pass of (B, h, w, 3) uint8 RGB photos; where the graph has one, with its backward passes."""
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
        self._inputs = {declared.name for declared in self._session.get_inputs()}
        on_gpu = "CUDAExecutionProvider" in self._session.get_providers()
        self.device = f"cuda:{gpu}" if on_gpu else "cpu"

    def run(self, images: NDArray[np.uint8], query: Query) -> GraphOutput:
        fed = {"images": images, "labels": query.labels, "among": query.among, "rivals": query.rivals}
        used = {name: array for name, array in fed.items() if name in self._inputs}  # only DCSM has rivals
        outputs = self._session.run(["scores", "maps", "chosen"], used)
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

    def run(self, images: NDArray[np.uint8], query: Query) -> GraphOutput:
        fed = (images, query.labels, query.among, query.rivals)
        with torch.inference_mode():
            outputs = self._module(
                *(torch.from_numpy(array).to(self.device) for array in fed)
            )  # scores (B, L), maps (B, K, h', w'), chosen (B, K)
        return GraphOutput(*(output.cpu().numpy() for output in outputs))


def open_runtime(card: ModelCard, read_file: Callable[[str], bytes], *, gpu: int | None = None) -> Runtime:
    """The runtime that the card names, loaded and warmed up.

    Args:
        card: Says which runtime and how many threads.
        read_file: File name inside the archive to its content.
        gpu: CUDA device number, or None for the CPU.
    Raises:
        ModelError: the archive has no graph for this runtime, the graph is broken, or it does not fit the card.
    """
    try:
        graph = read_file(GRAPH_FILES[card.runtime])
    except (KeyError, FileNotFoundError) as error:
        raise ModelError(
            f"{card.name} says runtime: {card.runtime}, but holds no {GRAPH_FILES[card.runtime]}."
        ) from error
    kind = OnnxRuntime if card.runtime == "onnx" else TorchScriptRuntime
    try:
        runtime: Runtime = kind(graph, threads=card.threads, gpu=gpu)
    except Exception as error:  # ONNX Runtime's errors have no base class of their own
        raise ModelError(
            f"{card.name}: its {GRAPH_FILES[card.runtime]} cannot be loaded ({error}). Export the model again."
        ) from error
    _warm_up(runtime, card)
    return runtime


def _warm_up(runtime: Runtime, card: ModelCard) -> None:
    """Pays for lazy initialisation and checks the label count, before the first request comes."""
    images = np.zeros((1, card.preprocessing.height, card.preprocessing.width, 3), np.uint8)
    first = np.zeros((1, 1), np.int64)
    for _ in range(2):  # TorchScript optimises on its second run
        output = runtime.run(images, Query(first, among=first, rivals=np.full((1, 1), NO_LABEL)))
    if output.scores.shape[1] != len(card.vocabulary()):
        raise ModelError(
            f"{card.name}: the graph has {output.scores.shape[1]} labels, the card {len(card.vocabulary())}."
            " Export it again."
        )
