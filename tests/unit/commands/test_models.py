"""``weakseg models`` on archives made by the test."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.helpers.colour_archive import write_colour_archive
from weakseg.cli import app

RUN = CliRunner()


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_colour_archive(Path("model_store/colours.mar"), groups={"bird": [0, 1]}, parity={"tolerance": 1e-4})
    write_colour_archive(Path("model_store/more.mar"), name="more")


def test_every_model_of_the_store() -> None:
    result = RUN.invoke(app, ["models"])
    assert result.exit_code == 0, result.output
    assert "colours 1.0" in result.stdout
    assert "more 1.0" in result.stdout


def test_what_an_archive_holds() -> None:
    lines = RUN.invoke(app, ["models", "colours"]).stdout.splitlines()
    facts = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines}
    assert facts["network"] == "colour channels, method cam"
    assert facts["classes"] == "3: cat, dog, sky"
    assert facts["groups"] == "1: bird"
    assert facts["preprocessing"].startswith("48 x 32 px, mean (0.0, 0.0, 0.0)")
    assert facts["runtime"].startswith("torchscript, threads 1")
    assert facts["weights"].startswith("made by a test (sha256 0000")
    assert facts["licence"] == "none"
    assert facts["demonstration"].startswith("yes")
    assert facts["parity"] == "tolerance 0.0001"


def test_a_model_that_labels_pixels_says_how_large_its_input_may_be() -> None:
    own = {"height": 40, "width": 56, "mean": (0.5,) * 3, "std": (0.25,) * 3, "max_side": 320}
    facts = {"method": "pixels", "preprocessing": own, "graph": {"flip": False}}
    write_colour_archive(Path("model_store/pixels.mar"), name="pixels", **facts)
    lines = RUN.invoke(app, ["models", "pixels"]).stdout.splitlines()
    assert "method pixels, flip False" in lines[2]
    assert (
        lines[5]
        .split(maxsplit=1)[1]
        .startswith("long side 320 px at most, proportions kept; tiles of 56 x 40 px, mean (0.5, 0.5, 0.5)")
    )
    assert json.loads(RUN.invoke(app, ["models", "--json", "pixels"]).stdout)[0]["preprocessing"]["max_side"] == 320


def test_json_holds_the_whole_card() -> None:
    found = json.loads(RUN.invoke(app, ["models", "--json", "model_store/more.mar"]).stdout)
    assert [entry["name"] for entry in found] == ["more"]
    assert found[0]["weights"]["demonstration"] is True
    assert found[0]["classes"] == ["cat", "dog", "sky"]


def test_an_empty_store_says_how_to_fill_it() -> None:
    result = RUN.invoke(app, ["models", "--store", "elsewhere"])
    assert result.exit_code == 0
    assert f"No model in {Path('elsewhere').resolve()}. Build one with `./scripts/serve`" in result.stderr
    assert RUN.invoke(app, ["models", "--store", "elsewhere", "--json"]).stdout == "[]\n"


def test_a_file_that_is_no_archive() -> None:
    Path("model_store/broken.mar").write_text("no zip")
    result = RUN.invoke(app, ["models", "broken"])
    assert result.exit_code == 2
    assert "broken.mar is not a model archive" in result.stderr
