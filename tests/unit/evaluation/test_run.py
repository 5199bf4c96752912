"""Whole evaluations of two drawn photos. All numbers are worked out by hand from tests/helpers/tiny_voc.py."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.colour_archive import write_colour_archive
from tests.unit.evaluation.conftest import Bench
from weakseg.errors import DataError, OptionValueError, UnknownClassError
from weakseg.evaluation import evaluator
from weakseg.evaluation.run import command_line, run
from weakseg.pipeline import Pipeline


def evaluate(bench: Bench, **changes: Any) -> dict[str, Any]:
    return run(replace(bench.order, **changes), bench.said.append)


def without_timings(results: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in results.items() if name != "timings"}


def test_known_tags_by_hand(bench: Bench) -> None:
    known = evaluate(bench)["known_tags"]
    # wide: 24 of the cat's 32 columns are found, 8 more beyond the void: 768 hits, 256 false alarms, 256 misses.
    # tall: all 768 pixels of the cat. Valid pixels: 2 * 6144 - 256 void = 12032.
    assert known["over"] == ["cat"]
    assert known["miou"] == known["fwiou"] == 1536 / 2048
    assert known["macc"] == pytest.approx((12032 - 512) / 12032, abs=1e-6)
    assert known["precision"] == known["recall"] == pytest.approx(1536 / 1792, abs=1e-6)
    assert known["per_class"]["cat"]["iou"] == 0.75
    assert known["options"] == {"refine": "none", "threshold": 0.5}


def test_predicted_tags_by_hand(bench: Bench) -> None:
    predicted = evaluate(bench)["predicted_tags"]
    # tall: the dog (the horse's pixels) scores best, so the cat is missed.
    # wide: sky scores best, but is no VOC class; the cat is picked, as with known tags.
    cat, background = 768 / (768 + 256 + 256 + 768), 8832 / (8832 + 256 + 256 + 768)
    assert predicted["over"] == ["background", "cat"]
    assert predicted["per_class"]["cat"]["iou"] == cat == 0.375
    assert predicted["per_class"]["background"]["iou"] == pytest.approx(background, abs=1e-6)
    assert predicted["miou"] == pytest.approx((cat + background) / 2, abs=1e-6)
    assert predicted["miou_without_background"] == cat
    weights = (1792, 9088)  # true pixels of cat, background
    fwiou = (weights[0] * cat + weights[1] * background) / sum(weights)
    assert predicted["fwiou"] == pytest.approx(fwiou, abs=1e-6)


def test_object_task_by_hand(bench: Bench) -> None:
    found = evaluate(bench)["object_task"]
    # wide: the box holds 24 columns of the cat, 16 of them are found; tall: the box holds the cat and more.
    # Accuracy over the whole photo: only 256 of 12032 valid pixels are wrong.
    assert found["miou"] == pytest.approx(1280 / 1536, abs=1e-6)
    assert found["precision"] == 1.0
    assert found["macc"] == pytest.approx((12032 - 256) / 12032, abs=1e-6)


def test_the_document_names_all_that_one_needs_to_repeat_it(bench: Bench) -> None:
    evaluate(bench, options={"threshold": "0.6"})
    results = json.loads((bench.out / "results.json").read_text())
    assert results["model"] == "colours"
    assert results["images"] == 2
    assert results["known_tags"]["options"] == {"refine": "none", "threshold": 0.6}
    assert results["command"] == ("weakseg evaluate --voc data --split val --model colours --threshold 0.6 --out out")
    libraries = {"numpy", "pillow", "opencv", "torch", "onnxruntime", "pydensecrf2"}
    assert set(results["software"]) == {"weakseg", "python"} | libraries
    assert str(Path.cwd()) not in (bench.out / "results.json").read_text() + (bench.out / "results.md").read_text()
    assert results["timings"]["object_task"]["requests"] == 2


def test_folders_elsewhere_are_relative_to_the_working_directory(bench: Bench) -> None:
    assert "--voc ../shared/data " in command_line(replace(bench.order, voc=Path("../shared/data").resolve()))


def test_a_class_that_no_photo_shows_is_null(bench: Bench) -> None:
    known = evaluate(bench, over=("dog", "cat"))["known_tags"]
    assert known["over"] == ["cat", "dog"]  # VOC's order
    assert known["per_class"]["dog"] is None
    assert known["miou"] == 0.75


def test_a_run_that_was_killed_goes_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = evaluate(bench)
    records = bench.out / "records.jsonl"
    header, first, second = records.read_text().splitlines()
    records.write_text(f"{header}\n{first}\n{second[: len(second) // 2]}")  # killed while writing
    counted = []
    count_sample = evaluator.count_sample

    def spy(pipeline: Any, sample: Any, plan: Any) -> Any:
        counted.append(sample.image_id)
        return count_sample(pipeline, sample, plan)

    monkeypatch.setattr(evaluator, "count_sample", spy)
    again = evaluate(bench)
    assert counted == ["tall"]
    assert "1 of 2 photos are finished already; --restart forgets them." in bench.said
    assert without_timings(again) == without_timings(whole)
    assert len(records.read_text().splitlines()) == 3
    evaluate(bench, restart=True)
    assert counted == ["tall", "wide", "tall"]


def test_another_evaluation_in_the_same_folder_starts_anew(bench: Bench) -> None:
    evaluate(bench)
    evaluate(bench, options={"threshold": "0.4"})
    assert any("held another evaluation" in line for line in bench.said)
    assert len((bench.out / "records.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize("changed", ["JPEGImages/tall.jpg", "SegmentationClass/wide.png"])
def test_a_photo_or_mask_that_was_replaced_starts_anew(bench: Bench, changed: str) -> None:
    evaluate(bench)
    evaluate(bench)
    assert not any("held another evaluation" in line for line in bench.said)
    path = bench.order.voc / "VOCdevkit/VOC2012" / changed
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    evaluate(bench)
    assert any("held another evaluation" in line for line in bench.said)


@pytest.mark.parametrize("library", ["cv2", "onnxruntime", "PIL"])
def test_another_version_of_a_library_starts_anew(bench: Bench, monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    evaluate(bench)
    monkeypatch.setattr(f"{library}.__version__", "0.0")
    evaluate(bench)
    assert any("held another evaluation" in line for line in bench.said)


def test_two_processes_count_the_same(bench: Bench) -> None:
    alone = evaluate(bench)
    assert without_timings(evaluate(bench, jobs=2, restart=True)) == without_timings(alone)


def test_a_sweep_with_tables_and_figures(bench: Bench) -> None:
    results = evaluate(bench, sweep=True)
    sweep = results["sweep"]
    assert sweep["thresholds"]["chosen_on"] == "val"
    assert sweep["known_tags"]["cam"]["0.5"]["miou"] == results["known_tags"]["miou"]  # the card's own technique
    assert sweep["object_task"]["cam"]["0.5"]["miou"] == results["object_task"]["miou"]
    assert set(sweep["known_tags"]) == {"cam", "gccam_pf_pb", "gccam_f_pf", "gccam_f_pb"}
    assert set(sweep["object_task"]) == {*sweep["known_tags"], "grabcut"}
    assert list(sweep["known_tags"]["cam"]) == [f"0.{digit}" for digit in range(1, 10)]
    page = (bench.out / "results.md").read_text()
    assert "t is chosen by mIoU on val itself" in page
    figures = sorted(path.name for path in (bench.out / "figures").iterdir())
    assert figures == [f"figure_{number:02d}.png" for number in range(7, 13)]
    assert all(f"](figures/{name})" in page for name in figures)


def test_thresholds_chosen_on_another_split(bench: Bench) -> None:
    evaluate(bench, split="train", sweep=True, out=Path("train"))
    path = Path("train/results.json")
    other = json.loads(path.read_text())
    other["sweep"]["thresholds"]["known_tags"]["cam"] = 0.9
    path.write_text(json.dumps(other))
    evaluate(bench, sweep=True, thresholds_from=path)
    page = (bench.out / "results.md").read_text()
    assert "| cam | 0.9 | known |" in page
    assert "t is chosen by mIoU on train, without a look at val" in page


def test_no_thresholds_in_results_without_a_sweep(bench: Bench) -> None:
    evaluate(bench, out=Path("plain"))
    with pytest.raises(DataError, match=r"plain/results\.json holds no thresholds of a sweep"):
        evaluate(bench, sweep=True, thresholds_from=Path("plain/results.json"))


def test_a_class_that_the_model_does_not_have(bench: Bench) -> None:
    with pytest.raises(UnknownClassError, match="'horse' is not a class of this model"):
        evaluate(bench, over=("cat", "horse"))


def test_a_class_that_voc_does_not_have(bench: Bench) -> None:
    with pytest.raises(DataError, match="--over unicorn: VOC's classes are aeroplane"):
        evaluate(bench, over=("unicorn",))


def test_a_wrong_option_is_found_before_any_work(bench: Bench) -> None:
    with pytest.raises(OptionValueError, match="threshold"):
        evaluate(bench, options={"threshold": "2"})
    assert not bench.out.exists()


def test_a_box_outside_its_photo_names_the_photo(bench: Bench) -> None:
    path = bench.order.voc / "VOCdevkit/VOC2012/boxes.json"
    path.write_text('{"wide": [{"class": "cat", "bbox_xyxy": [0, 0, 97, 64]}]}')
    with pytest.raises(DataError, match=r"wide: box: .*outside the photo of 96 x 64"):
        evaluate(bench)


def test_a_sweep_refines_at_its_own_size_and_says_so(bench: Bench) -> None:
    write_colour_archive(Path("store/colours.mar"), refine_side=400, box_context=0.5)
    results = evaluate(bench, sweep=True, sweep_side_px=320)
    assert results["grabcut"] == {"side_px": 400, "box_context": 0.5}
    assert results["sweep"]["side_px"] == 320
    page = (bench.out / "results.md").read_text()
    assert "a long side of at most 320 pixels; in the rows of the options in force, 400." in page
    assert "In the object task it sees the box and 0.5 of the box's sides around it." in page


def test_every_second_photo(bench: Bench) -> None:
    results = evaluate(bench, every=2)
    assert results["images"] == 1
    assert results["known_tags"]["miou"] == 768 / (768 + 512), "the first one, wide"
    assert "--every 2" in results["command"]


def test_refinements_of_the_same_maps(bench: Bench) -> None:
    results = evaluate(bench, refines=("none", "grabcut"))
    assert list(results["refines"]) == ["none", "grabcut"]
    for task in ("known_tags", "predicted_tags", "object_task"):
        assert results["refines"]["none"][task] == results[task], "the card's own refinement"
        assert results["refines"]["grabcut"][task]["options"]["refine"] == "grabcut"
    alone = evaluate(bench, options={"refine": "grabcut"})
    assert results["refines"]["grabcut"]["known_tags"] == alone["known_tags"]
    assert results["refines"]["grabcut"]["predicted_tags"] == alone["predicted_tags"]
    assert "--refines none,grabcut" in results["command"]


def test_refinements_have_their_table(bench: Bench) -> None:
    evaluate(bench, refines=("none", "grabcut"))
    page = (bench.out / "results.md").read_text()
    assert "| none | class | known | 75.0 |" in page
    assert "| grabcut | object (box) | known, box given |" in page


def test_a_network_runs_once_for_all_refinements(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    forward = Pipeline.forward
    monkeypatch.setattr(Pipeline, "forward", lambda self, plans: calls.append(1) or forward(self, plans))
    evaluate(bench, refines=("none", "grabcut"))
    assert len(calls) == 6, "two photos: a class, a box and predicted tags each"


def test_flags_that_contradict_a_refinement_are_found_before_any_work(bench: Bench) -> None:
    with pytest.raises(OptionValueError, match="refine=none does not run grabcut"):
        evaluate(bench, options={"iterations": "2"}, refines=("none", "grabcut"))
    assert not bench.out.exists()


def test_the_document_keeps_the_flags(bench: Bench) -> None:
    assert evaluate(bench, options={"threshold": "0.6"})["flags"] == {"threshold": "0.6"}


def test_a_refinement_at_a_threshold_of_its_own(bench: Bench) -> None:
    results = evaluate(bench, refines=("none@0.9", "none"))
    found = results["refines"]["none@0.9"]["known_tags"]
    assert found["options"] == {"refine": "none", "threshold": 0.9}
    assert found == evaluate(bench, options={"threshold": "0.9"})["known_tags"]
    assert results["refines"]["none"]["known_tags"]["options"]["threshold"] == 0.5
