from pathlib import Path

import numpy as np
import pytest

from tests.helpers.colour_archive import colour_card
from tests.helpers.tiny_voc import CAT, write_voc
from weakseg.codec.decode import Limits
from weakseg.evaluation.metrics import count_pixels
from weakseg.evaluation.voc import Sample, read_split
from weakseg.options import Refine
from weakseg.refine.refine import refine_maps
from weakseg.tuning.grid import Point, crf_axes, key_of, settings_of, starting_point
from weakseg.tuning.maps import MapFolder
from weakseg.tuning.trials import try_points
from weakseg.types import Geometry
from weakseg.voc import VOID

CARD = colour_card(refine_side=48)


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    """The drawn photo of 64 x 96 with a cat and void."""
    return read_split(write_voc(tmp_path), "val")[0]


@pytest.fixture
def class_map() -> np.ndarray:
    """8 x 12 cells of noise with zeros, a one, and values that are thresholds."""
    values = np.round(np.random.default_rng(5).random((8, 12)), 2)
    values[values < 0.3] = 0
    values[3:5, 5:9] = 1
    return values.astype(np.float32)


def count_one(sample: Sample, class_map: np.ndarray, refine: Refine, point: Point) -> list[int]:
    """As the service refines it."""
    rgb, truth = sample.read(Limits())
    refined = refine_maps(
        rgb,
        class_map[None],
        Geometry((64, 96)),
        settings_of(CARD, refine, point),
        ("cat",),
        (0.3,),
        box=None,
        context=None,
        sides=CARD.sides,
    )
    return count_pixels(truth == CAT, refined.label_map == 1, truth != VOID)


@pytest.mark.parametrize("refine", [Refine.NONE, Refine.GAUSSIAN])
def test_all_thresholds_in_one_pass_count_as_one_by_one(sample: Sample, class_map: np.ndarray, refine: Refine) -> None:
    sigmas = ({"sigma": 0.01}, {"sigma": 0.05}) if refine.smooths else ({},)
    points = [{"threshold": t, **sigma} for sigma in sigmas for t in (0.99, 0.01, 0.5, 0.37, 1.0, 0.0)]
    trial = try_points(CARD, refine, sample, {"cat": class_map}, points, stage=1)
    for point in points:
        assert trial.counts[key_of(point)]["cat"] == count_one(sample, class_map, refine, point)
    assert trial.image == "1 wide"
    assert trial.times_ms == {}


@pytest.mark.parametrize("refine", [Refine.CRF, Refine.GAUSSIAN_CRF_GRABCUT])
def test_other_refinements_count_as_the_service_does(sample: Sample, class_map: np.ndarray, refine: Refine) -> None:
    start = starting_point(CARD, refine, crf_axes(refine))
    points = [start, {**start, "steps": 1, "confidence": 3}]
    trial = try_points(CARD, refine, sample, {"cat": class_map}, points, stage=2)
    for point in points:
        assert trial.counts[key_of(point)]["cat"] == count_one(sample, class_map, refine, point)
        assert len(trial.times_ms[key_of(point)]) == 1
    assert len({str(counts) for counts in trial.counts.values()}) == 2


def test_maps_on_disk_are_as_good_as_new_until_something_changes(
    tmp_path: Path, sample: Sample, class_map: np.ndarray
) -> None:
    folder = MapFolder(tmp_path / "maps", "one")
    assert folder.missing([sample]) == [sample]
    folder.save(sample, {"cat": class_map, "dog": np.zeros((2, 3), np.float32)})
    again = MapFolder(tmp_path / "maps", "one")
    assert again.missing([sample]) == []
    loaded = again.load(sample)
    assert list(loaded) == ["cat", "dog"]
    assert loaded["cat"].dtype == np.float32
    assert np.abs(loaded["cat"] - class_map).max() < 1e-5
    assert loaded["cat"].max() == 1
    assert not loaded["dog"].any()
    assert MapFolder(tmp_path / "maps", "two").missing([sample]) == [sample]
    assert MapFolder(tmp_path / "maps", "one").missing([sample]) == [], "they wait for whoever comes back"


def test_maps_delete_nothing_of_the_folder_that_they_are_given(tmp_path: Path) -> None:
    (tmp_path / "precious.npz").touch()
    MapFolder(tmp_path, "one")
    assert (tmp_path / "precious.npz").is_file()
