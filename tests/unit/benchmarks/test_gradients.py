"""The benchmark of gradients measures the graph that is served."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import gradients
from export.parity import compare, run_eager
from weakseg.attribution.methods import build_graph
from weakseg.attribution.saliency import SaliencySettings
from weakseg.labels import Vocabulary
from weakseg.models.classifier import load_classifier
from weakseg.runtime import ONNX_FILE, OnnxRuntime


def test_what_is_timed_is_the_graph_of_the_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = load_classifier("demo", "random", num_classes=5)
    monkeypatch.setattr(gradients, "load_classifier", lambda *_, **__: classifier)
    monkeypatch.setattr(gradients, "HW", (64, 80))
    gradients.export_saliency("demo", tmp_path / "demo")
    graph = build_graph(classifier, Vocabulary(classifier.classes), SaliencySettings(), multi_label=False)
    photos, query = gradients.random_photos(2), gradients.ask_first(2, 3)
    found = OnnxRuntime((tmp_path / "demo" / ONNX_FILE).read_bytes(), threads=1, gpu=None).run(photos, query)
    compare(run_eager(graph, photos, query), found, 1e-4, "the benchmark's graph")
    assert found.chosen.tolist() == [[0, 1, 2]] * 2
    scores = gradients.forward_session(tmp_path / "demo", photos)()
    assert np.allclose(scores, found.scores, atol=1e-6)
