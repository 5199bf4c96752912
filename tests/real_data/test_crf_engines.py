"""Dense CRF engines against pydensecrf on a few real photos at full size. Not a measurement: docs/results/crf_accuracy.

The unaries are masks with wrong pixels, as in pydensecrf's own example: no model is needed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.crf_engines import Contender
from benchmarks.crf_problems import NOISY_MASK, Photo, Setting
from tests.helpers.crf_engines import ENGINES
from weakseg.codec.decode import Limits
from weakseg.evaluation.voc import read_split
from weakseg.options import CrfEngineName
from weakseg.refine.densecrf.problem import CrfProblem
from weakseg.refine.densecrf.reference import infer_with_pydensecrf

pytestmark = pytest.mark.real_data

PHOTOS = 3
EQUAL = {CrfEngineName.EXACT: 0.999, CrfEngineName.FAST: 0.996, CrfEngineName.FASTEST: 0.99}  # on average
OFF = {CrfEngineName.EXACT: 0.001, CrfEngineName.FAST: 0.01, CrfEngineName.FASTEST: 0.02}

Solved = list[tuple[CrfProblem, np.ndarray]]


@pytest.fixture(scope="module")
def solved(voc_folder: Path) -> Solved:
    """Problems of 2 and of 21 labels, and pydensecrf's answers."""
    samples = [sample.read(Limits()) for sample in read_split(voc_folder, "val")[::20]]
    large = [(rgb, truth) for rgb, truth in samples if max(rgb.shape) == 500 and (truth % 255).any()][:PHOTOS]
    nothing = np.zeros((0, 1, 1), np.float32)
    problems = []
    for rgb, truth in large:
        value = int(np.bincount(truth[truth % 255 > 0]).argmax())
        photo = Photo(rgb, truth, value, nothing, nothing, nothing)
        many = photo.problem(NOISY_MASK, Setting("customary", None, None), confidence=1, threshold=0)
        rest = np.delete(many.logits, value, 0).max(0)  # (H, W)
        problems += [many, CrfProblem(np.stack([rest, many.logits[value]]), rgb, many.kernels, many.steps)]
    return [(problem, infer_with_pydensecrf([problem])[0]) for problem in problems]


@pytest.mark.parametrize("tested", ENGINES, ids=lambda one: one.name)
def test_labels_and_marginals_agree(tested: Contender, solved: Solved) -> None:
    assert len(solved) == 2 * PHOTOS
    engine = tested.open()
    pairs = [(engine([problem])[0], expected) for problem, expected in solved]
    equal = [float((found.argmax(0) == expected.argmax(0)).mean()) for found, expected in pairs]
    off = [float(np.abs(found - expected).mean()) for found, expected in pairs]
    assert np.mean(equal) >= EQUAL[tested.level], equal
    assert np.mean(off) <= OFF[tested.level], off
