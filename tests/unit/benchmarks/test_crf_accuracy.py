"""What the comparison of dense CRF engines counts, and what it gives them."""

import numpy as np
import pytest
import typer

from benchmarks.crf_accuracy import Tally, infer_mirrored, infer_nothing
from benchmarks.crf_engines import CONTENDERS, choose_contenders
from benchmarks.crf_problems import NOISY_MASK, ONE_CLASS, TRUST, Photo, Setting
from tests.helpers.crf_engines import cat, problem
from weakseg.card import CrfSettings
from weakseg.refine.densecrf.reference import infer_with_pydensecrf
from weakseg.voc import VOID

CUSTOMARY = Setting("customary", None, None)


def photo() -> Photo:
    """12 x 20: a cat (8) at the left, void at the right border; its map is 1 at the left and 0 at the right."""
    truth = np.zeros((12, 20), np.uint8)
    truth[:, :10], truth[:, 19] = 8, VOID
    class_map = np.repeat(np.float32([[1, 0]]), 2, 0)  # (2, 2)
    return Photo(cat((12, 20)), truth, 8, class_map, np.tile(class_map, (20, 1, 1)), np.full(20, 0.5, np.float32))


def probs_of(labels: np.ndarray) -> np.ndarray:
    return np.stack([labels != 1, labels == 1]).astype(np.float32)


def test_equal_labels_and_iou_by_hand() -> None:
    truth = photo().truth == 8
    wider = truth.copy()
    wider[:, 10:12] = True
    tally = Tally()
    tally.add(probs_of(wider), probs_of(truth), photo())
    row = tally.row(ONE_CLASS, CUSTOMARY, "wider")
    assert row["equal"] == row["worst"] == "90.00"  # 24 of 240 pixels differ
    assert row["off"] == "0.10000"
    assert row["IoU"] == "83.33"  # 120 / 144


def test_unary_of_a_map_and_of_a_noisy_mask() -> None:
    one = photo().problem(ONE_CLASS, CUSTOMARY, confidence=20, threshold=0.45)
    assert one.logits.shape == (2, 12, 20)
    assert one.logits[1, 0, 0] == pytest.approx(20 * 0.55)
    many = photo().problem(NOISY_MASK, CUSTOMARY, confidence=20, threshold=0.45)
    assert many.logits.shape == (21, 12, 20)
    assert np.exp(many.logits[..., :19]).max() == pytest.approx(TRUST)
    right = (many.logits.argmax(0) == photo().truth)[:, :19].mean()
    assert 0.6 < right < 0.9


def test_photos_are_shrunk_where_the_setting_says_so() -> None:
    served = Setting("served", CrfSettings(steps=3), 10)
    asked = photo().problem(ONE_CLASS, served, confidence=20, threshold=0.45)
    assert asked.rgb.shape == (6, 10, 3)
    assert asked.steps == 3
    assert asked.kernels.colour_sigma_px == pytest.approx(1.0)


def test_mirrored_answers_are_turned_back() -> None:
    asked = problem(2)
    [found], [expected] = infer_mirrored([asked]), infer_with_pydensecrf([asked])
    assert (found.argmax(0) == expected.argmax(0)).mean() > 0.9
    [unary] = infer_nothing([asked])
    assert np.array_equal(unary.argmax(0), asked.logits.argmax(0))


def test_engines_are_chosen_by_how_their_names_begin() -> None:
    assert choose_contenders("torch,native") == [*CONTENDERS[3:], *CONTENDERS[:3]]
    with pytest.raises(typer.BadParameter, match="numba"):
        choose_contenders("numba")
