"""A network that labels pixels on the drawn VOC photos of tests/helpers/tiny_voc.py; numbers worked out by hand.

Valid pixels: 12032. The cat has 1792 of them; 1536 are found, 256 are missed, and 256 of background are called cat.
The horse's 1152 pixels are called dog.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.colour_archive import write_pixel_archive
from tests.unit.evaluation.conftest import Bench
from weakseg.errors import DataError
from weakseg.evaluation.run import command_line, run


@pytest.fixture
def pixel_bench(bench: Bench) -> Bench:
    write_pixel_archive(Path("store/colours.mar"))
    return bench


def evaluate(bench: Bench, **changes: Any) -> dict[str, Any]:
    return run(replace(bench.order, **changes), bench.said.append)


def test_predicted_tags_are_all_classes_at_once(pixel_bench: Bench) -> None:
    predicted = evaluate(pixel_bench)["predicted_tags"]
    background, cat = 12032 - 1792, 1792
    ious = {"background": (background - 256) / (background + 256), "cat": 1536 / 2048}
    assert predicted["over"] == ["background", "cat"]
    assert {name: found["iou"] for name, found in predicted["per_class"].items()} == pytest.approx(ious, abs=1e-6)
    assert predicted["pixel_accuracy"] == pytest.approx((12032 - 512) / 12032, abs=1e-6)
    assert predicted["mean_accuracy"] == pytest.approx((1536 / cat + (background - 256) / background) / 2, abs=1e-6)
    assert predicted["mean_iu"] == predicted["miou"] == pytest.approx(sum(ious.values()) / 2, abs=1e-6)
    weighted = (background * ious["background"] + cat * ious["cat"]) / 12032
    assert predicted["fw_iu"] == pytest.approx(weighted, abs=1e-6)
    assert predicted["others"] == "background"
    assert "all VOC classes that it knows" in predicted["classes_from"]


@pytest.mark.parametrize(("others", "true_background"), [("void", 9088), ("own", 9088), ("background", 9088 + 1152)])
def test_other_classes(pixel_bench: Bench, others: str, true_background: int) -> None:
    predicted = evaluate(pixel_bench, others=others)["predicted_tags"]
    expected = (true_background - 256) / (true_background + 256)
    assert predicted["per_class"]["background"]["iou"] == pytest.approx(expected, abs=1e-6)
    assert ("pixel_accuracy" in predicted) == (others != "own")
    assert f"--others {others}" in command_line(replace(pixel_bench.order, others=others))


def test_known_tags_and_boxes_find_their_class_at_its_own_value(pixel_bench: Bench) -> None:
    """The dog's value is 2, whatever is asked for."""
    results = evaluate(pixel_bench, over=("cat", "dog"))
    assert results["known_tags"]["miou"] == 0.75
    assert results["object_task"]["miou"] == pytest.approx(1280 / 1536, abs=1e-6)


def test_the_report_has_the_four_metrics(pixel_bench: Bench) -> None:
    evaluate(pixel_bench, refines=("none", "gaussian"))
    page = (pixel_bench.out / "results.md").read_text()
    assert "| pixel accuracy | mean accuracy | mean IU | frequency-weighted IU |" in page
    assert "True pixels of other classes are background" in page
    assert "pick=best" not in page


def test_a_classifier_may_be_measured_so_too(bench: Bench) -> None:
    assert "mean_iu" not in evaluate(bench)["predicted_tags"]
    assert evaluate(bench, others="background")["predicted_tags"]["mean_iu"] is not None
    with pytest.raises(DataError, match="own, background, void"):
        evaluate(bench, others="sky")
