"""An ensemble from a YAML file to an archive that answers."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from export.ensemble import app
from weakseg.archive import open_archive
from weakseg.models.classifier import build_network
from weakseg.options import parse_options
from weakseg.pipeline import Pipeline
from weakseg.runtime import open_runtime

RUN = CliRunner()


@pytest.fixture
def spec(tmp_path: Path) -> dict:
    members = []
    for seed, names in enumerate((("disc", "square"), ("square", "disc", "star"))):
        torch.manual_seed(seed)
        torch.save(build_network("demo", len(names)).state_dict(), tmp_path / f"{seed}.pt")
        (tmp_path / f"{seed}.txt").write_text("\n".join(names))
        member = {
            "network": "demo",
            "checkpoint": str(tmp_path / f"{seed}.pt"),
            "classes": str(tmp_path / f"{seed}.txt"),
        }
        members.append({**member, "settings": {"scales": [1, 0.5]} if seed else {}, "map_weight": 1 + seed})
    members[1]["method"] = "saliency"
    return {"name": "both", "size": [64, 80], "members": members, "card": {"photo_task": {"refine": "none"}}}


def export(spec: dict, folder: Path) -> str:
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump(spec))
    result = RUN.invoke(app, [str(path), "--out", str(folder)])
    return f"{result.exit_code} {' '.join(result.output.split())}"


def test_the_archive_answers_with_the_first_members_labels(spec: dict, tmp_path: Path) -> None:
    assert export(spec, tmp_path).startswith("0 ")
    archive = open_archive(tmp_path / "both.mar")
    assert archive.card.network == "demo + demo"
    assert archive.card.classes == ("disc", "square")
    assert [member["method"] for member in archive.card.graph["members"]] == ["cam", "saliency"]
    pipeline = Pipeline(archive.card, open_runtime(archive.card, archive.read_file))
    rgb = np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8)
    (found,) = pipeline.segment([rgb], [parse_options({"classes": "square"})])
    assert found.label_map.shape == (90, 70)
    assert found.maps.max() == pytest.approx(1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": [64]}, "size.1"),
        ({"members": []}, "members"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(spec: dict, change: dict, message: str, tmp_path: Path) -> None:
    output = export({**spec, **change}, tmp_path)
    assert output.startswith("1 ")
    assert message in output
    assert not (tmp_path / "both.mar").exists()
