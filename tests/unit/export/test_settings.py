"""How flags, presets and YAML files become settings of maps and fields of a card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from typer.testing import CliRunner

from export.__main__ import app
from export.build import build_archive, find_handler
from export.default_models import METHOD_FIELDS, SQUEEZENET_FUSION
from export.parsing import choose_settings, default_name
from tests.helpers.fakes import make_card
from weakseg.archive import open_archive
from weakseg.attribution.cam import CamSettings
from weakseg.attribution.dcsm import DcsmSettings
from weakseg.attribution.fusion import Part
from weakseg.attribution.methods import SETTINGS
from weakseg.attribution.saliency import SaliencySettings
from weakseg.errors import ModelCardError, ModelError
from weakseg.fields import merge_fields, read_fields
from weakseg.models.classifier import load_classifier


def test_fields_are_merged_down_to_the_last_mapping() -> None:
    base = {"refine_side": 320, "photo_task": {"threshold": 0.4, "crf": {"steps": 10, "colour_rgb": 8.0}}}
    over = {"photo_task": {"crf": {"steps": 5}, "refine": "crf"}, "box_context": 0.3}
    assert merge_fields(base, over) == {
        "refine_side": 320,
        "photo_task": {"threshold": 0.4, "refine": "crf", "crf": {"steps": 5, "colour_rgb": 8.0}},
        "box_context": 0.3,
    }
    assert base["photo_task"] == {"threshold": 0.4, "crf": {"steps": 10, "colour_rgb": 8.0}}, "left as it was"


@pytest.mark.parametrize("text", ["- 1\n", "5\n", "a: [", ""])
def test_a_file_without_fields_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "card.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ModelCardError, match=r"card\.yaml"):
        read_fields(tmp_path / "card.yaml")


@pytest.mark.parametrize(
    ("network", "method", "name"),
    [
        ("squeezenet1_1", "saliency", "squeezenet_saliency"),
        ("mobilenet_v2", "dcsm", "mobilenet_v2_dcsm"),
        ("vgg16", "dcsm", "vgg16_dcsm"),
        ("alexnet", "saliency", "alexnet_saliency"),
        ("shufflenet_v2_x0_5", "cam", "shufflenet_v2_x0_5_cam"),
        ("joint_alexnet_lse", "joint", "joint_alexnet_lse"),
        ("joint_alexnet", "saliency", "joint_alexnet_saliency"),
        ("vgg16_fcn", "joint", "vgg16_fcn_joint"),
    ],
)
def test_default_names(network: str, method: Any, name: str) -> None:
    assert default_name(network, method) == name


def test_settings_of_a_preset_a_file_and_flags() -> None:
    assert choose_settings(None, None, {}, {"flip": None}) == CamSettings()
    assert choose_settings("dcsm", None, {}, {"layers": ("a", "b")}) == DcsmSettings(layers=("a", "b"))
    assert choose_settings("saliency", None, {"scales": [1.0, 0.5], "pool_px": 2}, {"pool_px": 4}) == SaliencySettings(
        scales=(1.0, 0.5), pool_px=4
    )
    chosen = choose_settings("fusion", SQUEEZENET_FUSION, {"parts": [{"layer": "cat_2", "sigma": 0.01}]}, {})
    assert chosen.parts == (Part("cat_2", sigma=0.01),)  # type: ignore[attr-defined]
    assert chosen.damping == SQUEEZENET_FUSION.damping  # type: ignore[attr-defined]


def test_settings_that_do_not_belong_to_the_method_are_refused() -> None:
    with pytest.raises(ModelError, match=r"dcsm maps have no setting 'contrast'\. They have: .*'layers'"):
        choose_settings("dcsm", None, {}, {"contrast": 0.5})
    with pytest.raises(ModelError, match="A classifier makes no pixels maps"):
        choose_settings("pixels", None, {}, {})
    with pytest.raises(ModelError, match="preset makes fusion maps: give it without --method cam"):
        choose_settings("cam", SQUEEZENET_FUSION, {}, {})


@pytest.mark.parametrize("method", SETTINGS)
def test_every_method_has_a_handler_that_serves_it_and_fields_that_fit(method: Any) -> None:
    assert f'"{method}"' in find_handler(method).read_text(encoding="utf-8")
    card = make_card(method=method, **METHOD_FIELDS.get(method, {}))
    assert (card.subtract_classes is not None) == (method == "dcsm")


def test_an_archive_says_which_layers_were_chosen_and_has_its_methods_handler(tmp_path: Path) -> None:
    torch.manual_seed(0)
    classifier = load_classifier("demo", "random", num_classes=3)
    built = build_archive(classifier, name="tiny", directory=tmp_path, settings=DcsmSettings(), hw=(32, 48))
    archive = open_archive(built.path)
    assert archive.card.method == "dcsm"
    assert archive.card.graph["layers"] == ["features_2_2", "features_3_2", "features_4_2"]
    assert b"GradientHandler" in archive.read_file("gradient_handler.py")
    assert b"batchSize: 2\n" in archive.read_file("model-config.yaml"), "its requests are long"


def test_a_size_that_the_network_cannot_take_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    arguments = ["--network", "squeezenet1_1", "--weights", "random", "--method", "saliency", "--size", "16x48"]
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path)])
    assert result.exit_code == 1
    assert "16 x 48 pixels are too small for this network" in " ".join(result.output.split())
    assert list(tmp_path.iterdir()) == []


def test_cards_and_settings_from_yaml_reach_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def record(_: object, **given: Any) -> None:
        seen.update(given)
        raise ModelError("seen enough")

    monkeypatch.setattr("export.__main__.build_archive", record)
    (tmp_path / "card.yaml").write_text(yaml.safe_dump({"photo_task": {"crf": {"steps": 5}}}), encoding="utf-8")
    (tmp_path / "maps.yaml").write_text("flip: true\n", encoding="utf-8")
    arguments = ["--network", "squeezenet1_1", "--weights", "random", "--method", "guided", "--pool", "2"]
    CliRunner().invoke(app, [*arguments, "--card", str(tmp_path / "card.yaml"), "--maps", str(tmp_path / "maps.yaml")])
    assert (seen["name"], seen["settings"].pool_px, seen["settings"].flip) == ("squeezenet_guided", 2, True)
    task = seen["card_fields"]["photo_task"]
    assert task["crf"] == {"steps": 5}
    assert task["refine"] == METHOD_FIELDS["guided"]["photo_task"]["refine"], "the method's own default stays"
