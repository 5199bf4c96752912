"""Photos and masks in two plain folders: reading them, and numbers worked out by hand."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.helpers.colour_archive import write_colour_archive, write_pixel_archive
from weakseg.cli import app
from weakseg.codec.decode import Limits
from weakseg.errors import DataError, OptionValueError
from weakseg.evaluation.folder_run import FolderOrder, run_folders
from weakseg.evaluation.folders import read_folders

RUN = CliRunner()
ORDER = FolderOrder(Path("images"), Path("masks"), None, model="colours", store=Path("store"), out=Path("out"), jobs=1)


def save(name: str, rgb: np.ndarray, mask: np.ndarray) -> None:
    Image.fromarray(rgb).save(f"images/{name}.png")
    Image.fromarray(mask).save(f"masks/{name}.png")


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """wide, 20 x 30: hair in 6 x 10, of which the model sees 6 x 8, and 2 x 8 beside it. tall, 30 x 20: no hair."""
    monkeypatch.chdir(tmp_path)
    Path("images").mkdir()
    Path("masks").mkdir()
    rgb, mask = np.zeros((20, 30, 3), np.uint8), np.zeros((20, 30), np.uint8)
    rgb[4:12, 7:15, 0] = 255
    mask[4:10, 5:15] = 255
    save("wide", rgb, mask)
    save("tall", np.zeros((30, 20, 3), np.uint8), np.zeros((30, 20), np.uint8))
    write_pixel_archive(Path("store/colours.mar"), classes=("hair",))


def measure(**changes: Any) -> tuple[dict[str, Any], list[str]]:
    said: list[str] = []
    return run_folders(replace(ORDER, **changes), said.append), said


def test_numbers_by_hand() -> None:
    results, said = measure()
    # 1200 pixels: 48 hits, 12 missed, 16 false alarms, so 1124 of 1140 of background.
    assert results["pixel_accuracy"] == pytest.approx(1172 / 1200, abs=1e-6)
    assert results["mean_accuracy"] == pytest.approx((48 / 60 + 1124 / 1140) / 2, abs=1e-6)
    assert results["mean_iu"] == pytest.approx((48 / 76 + 1124 / 1152) / 2, abs=1e-6)
    assert results["fw_iu"] == pytest.approx((60 * 48 / 76 + 1140 * 1124 / 1152) / 1200, abs=1e-6)
    assert results["per_class"]["hair"]["iou"] == pytest.approx(48 / 76, abs=1e-6)
    assert results["images"] == results["timings"]["photos"] == 2
    assert results["timings"]["total_mean_ms"] > 0
    assert json.loads(Path("out/results.json").read_text()) == results
    page = Path("out/results.md").read_text()
    assert "| as asked for | 97.7 | 89.3 | 80.4 | 95.8 |" in page
    assert "| hair | 63.2 | 75.0 | 80.0 | 77.4 |" in page
    assert said[-1].endswith("results in out/results.md")


def test_other_refinements_of_the_same_maps() -> None:
    results, _ = measure(refines=("none@1", "gaussian"), options={"threshold": "0.4"})
    assert results["options"]["threshold"] == 0.4
    assert results["refines"]["none@1"]["per_class"]["hair"]["iou"] == pytest.approx(48 / 76, abs=1e-6)
    assert results["refines"]["gaussian"]["options"]["refine"] == "gaussian"


def test_several_classes_and_void() -> None:
    """cat 1, dog 2, sky 3; the second photo's sky is taken for a dog, and a quarter of it is void."""
    write_pixel_archive(Path("store/colours.mar"))
    rgb, mask = np.zeros((20, 40, 3), np.uint8), np.full((20, 40), 3, np.uint8)
    rgb[..., 1] = 255
    mask[:10, :20] = 255
    save("sky", rgb, mask)
    wide = np.array(Image.open("masks/wide.png"))
    Image.fromarray((wide == 255).astype(np.uint8)).save("masks/wide.png")
    results, _ = measure(names=None)
    assert results["per_class"]["sky"]["recall"] == 0
    assert results["per_class"]["dog"] is None
    assert results["per_class"]["cat"]["iou"] == pytest.approx(48 / 76, abs=1e-6)
    assert results["pixel_accuracy"] == pytest.approx(1172 / (1200 + 600), abs=1e-6)


def test_a_list_of_names_and_every_second_photo() -> None:
    Path("val.txt").write_text("wide\n")
    results, _ = measure(names=Path("val.txt"))
    assert (results["images"], results["data"]) == (1, "val")
    assert "--list val.txt --model colours" in results["command"]
    assert measure(every=2)[0]["images"] == 1


def test_a_stopped_run_goes_on() -> None:
    whole, _ = measure()
    lines = Path("out/records.jsonl").read_text().splitlines()
    Path("out/records.jsonl").write_text("\n".join([*lines[:2], lines[2][:20]]))
    again, said = measure()
    assert "1 of 2 photos are finished already; --restart forgets them." in said
    assert again["mean_iu"] == whole["mean_iu"]
    assert not any("finished already" in line for line in measure(restart=True)[1])
    assert any("held another evaluation" in line for line in measure(void=255)[1])


def test_void_of_one_class_is_what_is_named() -> None:
    """Then no pixel is hair: what was called so is 48 void pixels and 16 false alarms."""
    results, _ = measure(void=255)
    assert results["per_class"]["hair"] is None
    assert results["pixel_accuracy"] == pytest.approx(1124 / 1140, abs=1e-6)


def test_what_is_missing_is_named() -> None:
    Path("val.txt").write_text("wide\nnobody\n")
    with pytest.raises(DataError, match="1 of 2 names lack a photo or a mask, first 'nobody'"):
        measure(names=Path("val.txt"))
    with pytest.raises(DataError, match=r"nowhere is no folder"):
        measure(images=Path("nowhere"))
    with pytest.raises(DataError, match=r"No photo of images has a mask of its name in store"):
        measure(masks=Path("store"))
    with pytest.raises(DataError, match=r"none\.txt is no list of names"):
        measure(names=Path("none.txt"))
    (Path("images") / "wide.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"holds wide\.jpg and wide\.png"):
        measure()


def test_values_and_sizes_that_do_not_fit() -> None:
    (sample,) = read_folders(Path("images"), Path("masks"), None, classes=1, void=None)[1:]
    Image.fromarray(np.full((20, 30), 7, np.uint8)).save("masks/wide.png")
    with pytest.raises(DataError, match=r"has the value 7, but the model's classes are 1 to 1.*--void"):
        sample.read(Limits())
    Image.fromarray(np.zeros((20, 31), np.uint8)).save("masks/wide.png")
    with pytest.raises(DataError, match="the photo is 30 x 20 pixels, its mask 31 x 20"):
        sample.read(Limits())
    Image.new("RGB", (30, 20)).save("masks/wide.png")
    with pytest.raises(DataError, match="has mode RGB"):
        sample.read(Limits())
    Image.new("1", (30, 20), 1).save("masks/wide.png")
    assert sample.read(Limits())[1].tolist() == [[1] * 30] * 20
    Path("masks/wide.png").write_bytes(b"PNG")
    with pytest.raises(DataError, match="cannot be read"):
        sample.read(Limits())


def test_models_that_cannot_be_measured_so() -> None:
    with pytest.raises(DataError, match="depends on the speed"):
        measure(options={"refine": "auto"})
    with pytest.raises(OptionValueError, match="threshold"):
        measure(options={"threshold": "high"})
    with pytest.raises(DataError, match="--void 256"):
        measure(void=256)
    write_colour_archive(Path("store/colours.mar"))
    with pytest.raises(DataError, match="Measure this one with --voc"):
        measure()


def test_from_the_command_line() -> None:
    arguments = ["evaluate", "--images", "images", "--masks", "masks", "--model", "colours", "--store", "store"]
    result = RUN.invoke(app, [*arguments, "--jobs", "1", "--out", "out", "--tile", "true", "--max-side", "64"])
    assert result.exit_code == 0, result.output
    assert "mean iu                     80.4%" in result.stdout
    options = json.loads(Path("out/results.json").read_text())["options"]
    assert (options["tile"], options["max_side"]) == (True, 64)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Give --voc, or --images and --masks."),
        (["--images", "images"], "Give --voc, or --images and --masks."),
        (["--images", "images", "--masks", "masks", "--sweep"], "go with --voc"),
        (["--images", "images", "--masks", "masks", "--split", "val"], "go with --voc"),
        (["--images", "images", "--masks", "masks", "--thresholds-from", "a.json"], "and --thresholds-from go with"),
        (["--voc", ".", "--masks", "masks"], "do not go with --voc"),
    ],
)
def test_flags_that_do_not_go_together(arguments: list[str], message: str) -> None:
    result = RUN.invoke(app, ["evaluate", *arguments])
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())
