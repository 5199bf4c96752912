"""What is not visible from whole runs: how labels become VOC's numbers, and what the sweep's variants are."""

import numpy as np
import pytest

from weakseg.evaluation.counting import Plan, translate_labels
from weakseg.evaluation.techniques import sweep_settings
from weakseg.options import GrabCutMode, Refine
from weakseg.types import Geometry, Segment, Segmentation


def test_labels_become_voc_numbers_and_others_background() -> None:
    label_map = np.array([[0, 1, 2], [3, 3, 0]], np.uint8)
    segments = tuple(Segment(name, 0, 1.0, value) for value, name in enumerate(("Dog", "table lamp", "cat"), start=1))
    geometry = Geometry((2, 3))
    maps = np.zeros((3, 2, 3), np.float32)
    found = translate_labels(Segmentation(np.zeros((2, 3, 3), np.uint8), label_map, maps, geometry, segments, ()))
    assert found.tolist() == [[0, 12, 0], [8, 8, 0]]


def test_the_sweep_is_the_papers() -> None:
    settings = sweep_settings(iterations=1)
    assert len(settings) == 4 * 9
    assert settings["cam 0.3"].refine is Refine.NONE
    assert settings["cam 0.3"].threshold == 0.3
    assert settings["gccam_pf_pb 0.3"].levels == (0.0, 0.3, 1.0)
    assert settings["gccam_f_pf 0.7"].levels == (0.0, 0.01, 0.7)
    assert settings["gccam_f_pb 0.5"].levels == (0.0, 0.5, 0.51)
    assert settings["gccam_f_pb 0.5"].grabcut_mode is GrabCutMode.F_PB
    assert settings["gccam_f_pb 0.5"].iterations == 1


@pytest.mark.parametrize(("flags", "iterations"), [({}, 1), ({"iterations": "3"}, 3)])
def test_one_iteration_unless_a_flag_says_otherwise(flags: dict[str, str], iterations: int) -> None:
    assert Plan(("cat",), flags, sweep=True).sweep_iterations == iterations
