"""What a photo is batched with changes no answer by more than rounding."""

from pathlib import Path

import numpy as np
import pytest
import torch

from export.default_models import SQUEEZENET_CAM
from export.onnx import export_onnx
from export.parity import compare, smooth_picture
from export.torchscript import export_torchscript
from tests.helpers.queries import ask
from weakseg.attribution.cam import CamGraph
from weakseg.labels import Vocabulary
from weakseg.models.classifier import IMAGENET_MEAN, IMAGENET_STD, load_classifier
from weakseg.runtime import OnnxRuntime, Runtime, TorchScriptRuntime
from weakseg.types import GraphOutput

TOLERANCE = 1e-5  # absolute, on scores and maps in [0, 1]; ARCHITECTURE.md promises it
VOCABULARY = Vocabulary(["a", "b", "c", "d", "e", "f", "g"], {"pair": [1, 4], "trio": [0, 2, 6]})
LABELS = np.array([[-1, 3, 8, -2, 0], [7, -1, 2, 5, -3], [-2, 1, 8, 4, -1], [6, -1, 0, 7, -2]])  # (B, K)


@pytest.fixture(scope="module")
def runtimes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Runtime]:
    """The default model's graph, with random weights."""
    torch.manual_seed(0)
    split = load_classifier("squeezenet1_1", "random", num_classes=len(VOCABULARY.classes)).split
    graph = CamGraph(split, VOCABULARY, mean=IMAGENET_MEAN, std=IMAGENET_STD, settings=SQUEEZENET_CAM)
    torchscript = tmp_path_factory.mktemp("graphs") / "model.pt"
    onnx: Path = torchscript.with_suffix(".onnx")
    export_torchscript(graph, torchscript)
    export_onnx(torchscript, onnx)
    return {
        "torchscript": TorchScriptRuntime(torchscript.read_bytes(), threads=1, gpu=None),
        "onnx": OnnxRuntime(onnx.read_bytes(), threads=1, gpu=None),
    }


@pytest.mark.parametrize("name", ["torchscript", "onnx"])
def test_a_photo_alone_and_one_of_four(runtimes: dict[str, Runtime], name: str) -> None:
    rng, runtime = np.random.default_rng(5), runtimes[name]
    images = np.stack([smooth_picture((112, 144), rng) for _ in LABELS])  # (B, h, w, 3)
    images[1::2] = rng.integers(0, 256, images[1::2].shape, dtype=np.uint8)  # every second one is noise
    together = runtime.run(images, ask(LABELS, VOCABULARY))
    assert np.ptp(together.maps, axis=(2, 3)).min() > 0.5, "every map says something"
    for photo, label in np.ndindex(LABELS.shape):
        one = ask(LABELS[photo : photo + 1, label : label + 1], VOCABULARY)  # B = 1, K = 1
        alone = runtime.run(images[photo : photo + 1], one)
        batched = GraphOutput(
            together.scores[photo : photo + 1],
            together.maps[photo : photo + 1, label : label + 1],
            together.chosen[photo : photo + 1, label : label + 1],
        )
        compare(batched, alone, TOLERANCE, f"{name}, photo {photo}, label {label}")
