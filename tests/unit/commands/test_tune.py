"""``weakseg tune`` from the command line; what it finds is tested in tests/unit/tuning."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.helpers.colour_archive import write_colour_archive
from tests.helpers.tiny_voc import write_voc
from weakseg.cli import app

RUN = CliRunner()
ARGUMENTS = ["--voc", "data", "--model", "colours", "--store", "store", "--jobs", "1", "--out", "out"]


@pytest.fixture(autouse=True)
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_colour_archive(Path("store/colours.mar"))
    write_voc(Path("data"))


def test_a_threshold_and_where_it_is() -> None:
    result = RUN.invoke(app, ["tune", "threshold", *ARGUMENTS, "--split", "train", "--refine", "none", "--over", "cat"])
    assert result.exit_code == 0, result.output
    assert "1 photos, 99 points" in result.stdout
    assert "mIoU 60.0%, cross-validated" in result.stdout  # wide: 768 hits, 256 false alarms, 256 misses
    assert "out/tuned.yaml; the report is in out/tune.md" in result.stdout
    assert Path("out/tuned.yaml").read_text().startswith("# colours 1.0, 1 photos of train: mIoU 60.0%")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["crf", *ARGUMENTS], "No split 'train_official'"),
        (["crf", *ARGUMENTS, "--split", "val"], "--even-held-out"),
        (["crf", *ARGUMENTS, "--refine", "gaussian"], "crf+grabcut"),
        (["threshold", *ARGUMENTS, "--refine", "crf"], "none, gaussian"),
        (["guided", *ARGUMENTS, "--refine", "crf"], "guided, gaussian+guided"),
        (["threshold", *ARGUMENTS, "--split", "train", "--grid", "none.yaml"], "cannot be read as a grid"),
    ],
)
def test_wrong_input_ends_with_a_message(arguments: list[str], message: str) -> None:
    result = RUN.invoke(app, ["tune", *arguments])
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
