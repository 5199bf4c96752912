"""The curve of quality against time: what is compared, how it is counted, what is on the front."""

import json
from pathlib import Path

import pytest
from rich.progress import Progress

from benchmarks.pareto_counts import PhotoRecord, choose_thresholds, find_miou
from benchmarks.pareto_plot import Point, draw_pareto, find_front
from benchmarks.pareto_run import Measurement, Order, number_points
from benchmarks.variants import Variant, list_refines, list_variants
from tests.helpers.colour_archive import write_colour_archive
from tests.helpers.fakes import make_card
from tests.helpers.tiny_voc import write_voc
from weakseg.options import CrfEngineName, Refine


def point(number: int, miou: float, refine_ms: float, model: str = "a") -> Point:
    return Point(number, model, f"crf {number}", "crf", miou, refine_ms, 10 + refine_ms)


def test_the_front_is_what_nothing_beats_in_both() -> None:
    points = [
        point(1, 0.5, 1),
        point(2, 0.4, 2),
        point(3, 0.7, 8),
        point(4, 0.7, 9),
        point(5, 0.6, 8),
        point(6, 0.6, 3),
    ]
    assert [each.number for each in find_front(points, "refine_ms")] == [1, 6, 3]


def test_variants_differ_in_what_matters_to_their_steps() -> None:
    titles = [variant.title for variant in list_variants([Refine.NONE, Refine.GUIDED, Refine.CRF], [96, 192])]
    engines = ("exact", "fast", "fastest", "pydensecrf")
    of_crf = [f"crf {engine} {side}" for side in (96, 192) for engine in engines]
    assert titles == ["none", "guided 96", "guided 192", *of_crf]
    both = [variant for variant in list_variants([Refine.CRF_GRABCUT], [96, 192]) if variant.crf_engine == "fast"]
    assert [variant.title for variant in both] == [
        "crf fast 96 + grabcut fast 96", "crf fast 96 + grabcut fast 192", "crf fast 192 + grabcut fast 192",
    ]  # fmt: skip


def test_models_that_smooth_their_maps_always_do() -> None:
    plain, smooth = (list_refines(make_card(photo_task={"refine": refine})) for refine in ("crf", "gaussian"))
    assert plain[:3] == [Refine.NONE, Refine.GAUSSIAN, Refine.GUIDED]
    assert [refine.smooths for refine in smooth] == [False] + [True] * 6


def test_a_variant_asks_for_its_engines_and_sides() -> None:
    (variant,) = [each for each in list_variants([Refine.CRF_GRABCUT], [96, 192]) if each.title.endswith("opencv 192")][
        :1
    ]
    card = variant.fit(make_card(refine_side=500))
    assert card.sides == (96, 96, 192)
    settings = variant.settings(card, 0.35)
    assert settings.crf is not None
    assert (settings.crf.engine, settings.grabcut_engine, settings.threshold) == ("pydensecrf", "opencv", 0.35)
    assert variant.tuned_as().title == "crf fast 96 + grabcut fast 192"


def test_the_best_threshold_wins_and_the_first_of_equals() -> None:
    counts = {"low": {"cat": [5, 5, 0, 0]}, "middle": {"cat": [8, 0, 2, 0]}, "high": {"cat": [8, 0, 2, 0]}}
    records = [PhotoRecord("one", counts)]
    assert find_miou(records, "low", ("cat", "dog")) == 0.5
    swept = {Variant(Refine.NONE): [(0.2, "low"), (0.4, "middle"), (0.6, "high")]}
    assert choose_thresholds(records, swept, ("cat", "dog")) == {Variant(Refine.NONE): 0.4}


def test_a_curve_of_drawn_photos(tmp_path: Path) -> None:
    """On `train` red begins 8 pixels too far right and goes on beyond the void: 32 x 24 hits of 32 x 32, 8 too many."""
    voc, archive = write_voc(tmp_path / "data"), write_colour_archive(tmp_path / "colours.mar")
    order = Order(
        voc, "train", 1, "val", 1, (64,), (Refine.NONE, Refine.CRF), (CrfEngineName.FAST,), tmp_path / "records"
    )
    with Progress(disable=True) as progress:
        curve = Measurement(order, archive, progress).run()
        again = Measurement(order, archive, progress).run()
    assert again == curve, "everything is in the records, times too"
    assert [each.title for each in curve.points][:2] == ["none", "crf fast 64"]
    assert curve.points[0].miou == pytest.approx(24 / (32 + 8), abs=1e-4)
    assert curve.points[0].total_ms == pytest.approx(curve.points[0].refine_ms + sum(curve.shared_ms.values()))
    texts = [path.read_text() for path in sorted((tmp_path / "records").iterdir())]
    images = [[json.loads(line).get("image") for line in text.splitlines()] for text in texts]
    assert images == [[None, "wide"], [None, "wide", "tall"]], "of the report, and of the thresholds"
    draw_pareto(number_points([curve]), "drawn", tmp_path / "pareto.png")
    assert (tmp_path / "pareto.png").stat().st_size > 10_000
