"""``weakseg evaluate`` from the command line; what it measures is tested in tests/unit/evaluation."""

import inspect
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.helpers.colour_archive import write_colour_archive
from tests.helpers.tiny_voc import write_voc
from weakseg.cli import app
from weakseg.commands.evaluate import evaluate
from weakseg.options import OPTION_NAMES

RUN = CliRunner()
ARGUMENTS = ["evaluate", "--voc", "data", "--model", "colours", "--store", "store", "--jobs", "1", "--out", "out"]


@pytest.fixture(autouse=True)
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_colour_archive(Path("store/colours.mar"))
    write_voc(Path("data"))


def test_results_and_where_they_are() -> None:
    result = RUN.invoke(app, [*ARGUMENTS, "--threshold", "0.4", "--over", "cat, dog"])
    assert result.exit_code == 0, result.output
    assert "2 photos in" in result.stdout
    assert "results in out/results.md" in result.stdout
    assert [line.split("mIoU")[0].strip() for line in result.stdout.splitlines()[-3:]] == [
        "class task, known tags",
        "class task, predicted tags",
        "object task",
    ]
    assert "class task, known tags      mIoU 75.0%" in result.stdout
    document = json.loads(Path("out/results.json").read_text())
    assert document["known_tags"]["miou"] == 0.75
    assert document["known_tags"]["options"]["threshold"] == 0.4
    assert document["command"].endswith("--threshold 0.4 --over cat,dog --out out")
    assert "| class | known |" in Path("out/results.md").read_text()


def test_the_task_sets_the_other_options() -> None:
    left_out = {"classes", "pick", "box", "format", "budget_ms"}
    assert set(OPTION_NAMES) - set(inspect.signature(evaluate).parameters) == left_out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--split", "test"], "No split 'test'"),
        (["--over", "unicorn"], "VOC's classes are"),
        (["--over", "horse"], "'horse' is not a class of this model"),
        (["--threshold", "high"], "Send a number from 0 to 1."),
    ],
)
def test_wrong_data_or_options_end_with_a_message(arguments: list[str], message: str) -> None:
    result = RUN.invoke(app, [*ARGUMENTS, *arguments])
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_thresholds_from_needs_a_sweep() -> None:
    result = RUN.invoke(app, [*ARGUMENTS, "--thresholds-from", "out/results.json"])
    assert result.exit_code == 2
    assert "give --sweep too" in result.stderr


def test_help_explains_the_modes() -> None:
    page = " ".join(RUN.invoke(app, ["evaluate", "--help"]).stdout.split())
    for words in ("known tags", "predicted tags", "object task", "--thresholds-from", "boxes in the split"):
        assert words in page


def test_refinements_and_a_gallery() -> None:
    result = RUN.invoke(app, [*ARGUMENTS, "--refines", "none, grabcut, none", "--gallery", "--gallery-images", "1"])
    assert result.exit_code == 0, result.output
    assert list(json.loads(Path("out/results.json").read_text())["refines"]) == ["none", "grabcut"]
    assert Path("out/gallery/index.html").read_text().count("<h3>") == 2


def test_an_unknown_refinement_is_explained() -> None:
    result = RUN.invoke(app, [*ARGUMENTS, "--refines", "none,magic"])
    assert result.exit_code == 2
    assert "refine" in result.stderr
    assert "Traceback" not in result.stderr
