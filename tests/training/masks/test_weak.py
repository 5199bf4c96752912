"""Masks by a weak method: VOC values, only of the classes of each photo, kept, and refused where they cannot be."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.helpers.colour_archive import write_colour_archive
from tests.helpers.tiny_voc import CAT, write_voc
from training.masks.__main__ import app
from training.masks.weak import WeakOrder, make_weak_masks
from weakseg.errors import DataError, UnknownClassError

DOG = 12
LABELS = {"wide": "cat", "tall": "cat dog"}


@pytest.fixture
def order(tmp_path: Path) -> WeakOrder:
    voc = write_voc(tmp_path / "data")
    lines = [f"{name} {labels}" for name, labels in LABELS.items()]
    (voc / "VOCdevkit/VOC2012/image_labels.txt").write_text("\n".join(lines), encoding="utf-8")
    write_colour_archive(tmp_path / "colours.mar")
    return WeakOrder(voc, "val", "colours", tmp_path, ("cat", "dog"), {}, tmp_path / "masks")


def read_mask(order: WeakOrder, name: str) -> np.ndarray:
    return np.array(Image.open(order.out / f"{name}.png"))


def test_masks_have_voc_s_values_where_the_method_found_the_labelled_classes(order: WeakOrder) -> None:
    count, made = make_weak_masks(order, jobs=1)
    assert count == 2
    assert sorted(path.name for path in made) == ["tall.png", "wide.png"]
    wide, tall = read_mask(order, "wide"), read_mask(order, "tall")
    assert wide.shape == (64, 96)
    assert set(np.unique(wide)) == {0, CAT}
    assert (wide[18:46, 26:62] == CAT).all(), "where it is red"
    assert not wide[:16].any(), "blue is the sky, which nobody asked for"
    assert set(np.unique(tall)) == {0, CAT, DOG}
    assert (tall[74:, 2:46] == DOG).all(), "where it is green"


def test_a_class_that_the_photo_is_not_said_to_show_is_not_asked_for(order: WeakOrder) -> None:
    list(make_weak_masks(dataclasses.replace(order, classes=("dog",)), jobs=1)[1])
    assert not read_mask(order, "wide").any()
    assert set(np.unique(read_mask(order, "tall"))) == {0, DOG}


def test_what_is_there_is_kept(order: WeakOrder) -> None:
    make_weak_masks(order, jobs=1)  # asked, and stopped before the first mask
    Image.fromarray(np.full((2, 3), 7, np.uint8)).save(order.out / "wide.png")
    count, made = make_weak_masks(order, jobs=1)
    assert count == 1
    assert [path.name for path in made] == ["tall.png"]
    assert (read_mask(order, "wide") == 7).all()


def test_a_note_says_how_masks_were_made(order: WeakOrder) -> None:
    list(make_weak_masks(dataclasses.replace(order, options={"threshold": "0.25"}), jobs=1)[1])
    assert json.loads((order.out / "made_by.json").read_text(encoding="utf-8")) == {
        "model": "colours",
        "weights_sha256": "0" * 64,
        "graph": {},
        "input_hw": [32, 48],
        "sides": [500, 500, 500],
        "settings": {"refine": "none", "threshold": 0.25},
        "classes": ["cat", "dog"],
        "options": {"threshold": "0.25"},
        "split": "val",
    }
    assert sorted(path.suffix for path in order.out.iterdir()) == [".json", ".png", ".png"]


@pytest.mark.parametrize(
    ("order_changes", "card_changes", "message"),
    [
        ({"classes": ("dog",)}, {}, r'with classes = \["cat", "dog"\], and classes = \["dog"\] is asked for now'),
        ({"options": {"refine": "gaussian"}}, {}, "settings = .*none.* and settings = .*gaussian"),
        ({"split": "train"}, {}, 'split = "val", and split = "train"'),
        ({}, {"name": "hues"}, 'model = "colours", and model = "hues"'),
        ({}, {"weights": {"source": "a", "licence": "b", "sha256": "1" * 64}}, 'weights_sha256 = "00.*11"'),
        ({}, {"crf_side": 192}, r"sides = \[500, 500, 500\], and sides = \[500, 192, 500\]"),
        ({}, {"graph": {"flip": True}}, 'graph = {}, and graph = {"flip": true}'),
    ],
)
def test_masks_of_two_kinds_are_not_mixed(
    order: WeakOrder, order_changes: dict[str, Any], card_changes: dict[str, Any], message: str
) -> None:
    list(make_weak_masks(order, jobs=1)[1])
    before = {path.name: path.read_bytes() for path in order.out.iterdir()}
    write_colour_archive(order.store / "colours.mar", **card_changes)
    lists = order.voc / "VOCdevkit/VOC2012/ImageSets"
    for path in list(lists.rglob("val.txt")):
        path.with_name("train.txt").write_bytes(path.read_bytes())
    with pytest.raises(DataError, match=f"{message}.*Give another --out, or delete"):
        make_weak_masks(dataclasses.replace(order, **order_changes), jobs=1)
    assert {path.name: path.read_bytes() for path in order.out.iterdir()} == before


def test_masks_without_a_note_are_not_added_to(order: WeakOrder) -> None:
    order.out.mkdir()
    Image.fromarray(np.full((2, 3), 7, np.uint8)).save(order.out / "wide.png")
    with pytest.raises(DataError, match=r"no made_by\.json that says how they were made"):
        make_weak_masks(order, jobs=1)
    (order.out / "wide.png").unlink()
    assert make_weak_masks(order, jobs=1)[0] == 2


@pytest.mark.parametrize(
    ("classes", "error", "message"),
    [(("cat", "unicorn"), DataError, "unicorn"), (("cat", "horse"), UnknownClassError, "horse")],
)
def test_unknown_classes_are_refused_before_anything_is_written(
    order: WeakOrder, classes: tuple[str, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make_weak_masks(dataclasses.replace(order, classes=classes))
    assert not order.out.exists()


def test_the_command_says_what_it_made(order: WeakOrder) -> None:
    command = ["weak", "--voc", str(order.voc), "--split", "val", "--model", "colours", "--store", str(order.store)]
    done = CliRunner().invoke(app, [*command, "--classes", "cat", "--out", str(order.out), "--jobs", "1"])
    assert done.exit_code == 0, done.output
    assert "2 masks made, 2 in" in done.output
