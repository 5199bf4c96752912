"""The default model on real photos: a guard against changes that spoil masks. Not a measurement (docs/results)."""

from pathlib import Path

import pytest

from weakseg.evaluation.run import Order, run
from weakseg.options import parse_options
from weakseg.pipeline import Pipeline

pytestmark = [pytest.mark.real_data, pytest.mark.weights]


def test_a_sample_of_the_photos_that_it_was_chosen_on(voc_folder: Path, default_archive: Path, tmp_path: Path) -> None:
    """Every 30th photo of train_official, where the default model was tuned: no reported split is touched."""
    order = Order(
        voc=voc_folder,
        split="train_official",
        model=str(default_archive),
        store=tmp_path,
        out=tmp_path,
        every=30,
        jobs=1,
    )
    results = run(order, say=print)
    known, boxes = results["known_tags"]["miou"], results["object_task"]["miou"]
    assert known > 0.5, "on all 437 photos: 0.66"
    assert boxes > 0.7, "on all 437 photos: 0.82"


def test_the_sample_photo_shows_a_cat(default_pipeline: Pipeline) -> None:
    skimage_data = pytest.importorskip("skimage.data")
    (segmentation,) = default_pipeline.segment([skimage_data.chelsea()], [parse_options({})])
    (segment,) = segmentation.segments
    assert segment.label == "cat"
    assert segmentation.label_map[150, 220] == 1, "between the eyes"
    assert segmentation.label_map[:60, 420:].max() == 0, "the blurred background at the top right"
