"""A machine without a way to the weights: the launcher trains the demonstration model, for real."""

from pathlib import Path

import cv2
import numpy as np

from scripts.archives import _DEMO_SOURCES, default_models, fingerprint, sample_drawing
from tests.helpers.launcher import Launcher, free_ports
from weakseg.archive import open_archive
from weakseg.pipeline import Pipeline
from weakseg.runtime import open_runtime
from weakseg.types import RawRequest

NOWHERE = "http://127.0.0.1:9"  # the discard port: nobody answers


def test_without_weights_there_is_a_model_that_says_what_it_is(tmp_path: Path) -> None:
    offline = {"TORCH_HOME": str(tmp_path / "torch"), "https_proxy": NOWHERE, "HTTPS_PROXY": NOWHERE}
    launcher = Launcher(tmp_path / "store", tmp_path / "state", free_ports(), offline)
    done = launcher.run("--build-only")
    assert done.returncode == 0, done.stdout
    assert "DEMONSTRATION MODEL" in done.stdout

    assert {path.stem for path in launcher.store.glob("*.mar")} == {*default_models()}, "others need no download"
    archive = open_archive(launcher.store / "weakseg.mar")
    assert archive.card.version == "demo"
    assert archive.card.weights.demonstration
    assert archive.card.network == "demo"
    assert archive.card.made_of == fingerprint(_DEMO_SOURCES)

    pipeline = Pipeline(archive.card, open_runtime(archive.card, archive.read_file))
    drawing = sample_drawing(launcher.store).read_bytes()
    (answer,) = pipeline.answer([RawRequest(drawing)])
    assert answer.status == 200, answer.body
    assert answer.headers["X-Weakseg-Demonstration"] == "true"
    mask = cv2.imdecode(np.frombuffer(answer.body, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert 0.02 < np.count_nonzero(mask) / mask.size < 0.6, "an object, not everything and not nothing"
