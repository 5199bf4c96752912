"""Masks that are made: photos on white, as they are and pasted, while training and on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tests.training.masks.drawn_masks import on_paper, pixel_recipe, save, write_scenes, write_shoes
from training.masks.__main__ import app
from training.masks.maskset import MaskSet
from training.masks.splits import read_masked_splits
from training.photos import Pick, read_pixels
from weakseg.errors import DataError

Folders = tuple[Path, Path]


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return write_shoes(tmp_path / "shoes", 14), write_scenes(tmp_path / "scenes", 14)


def test_photos_on_white(folders: Folders) -> None:
    splits = read_masked_splits(folders[0], pixel_recipe(format="white", classes=("shoe",), held_out=0.3))
    assert splits.classes == ("shoe",)
    assert len(splits.train) + len(splits.val) == 14
    for photo in splits.val:
        width = 30 + int(photo.path.stem[-2:])
        expected = np.zeros((48, 64), np.uint8)
        expected[14:34, 10 : 10 + width] = 1
        np.testing.assert_array_equal(photo.read().targets, expected)


def test_pasted_scenes_follow_the_seed(folders: Folders) -> None:
    recipe = pixel_recipe(format="pasted", classes=("shoe",), backgrounds=str(folders[1]), held_out=0.3)
    splits = read_masked_splits(folders[0], recipe)
    photos = MaskSet(splits.train, splits.classes, recipe)
    first, again, other = photos[Pick(0, 1)], photos[Pick(0, 1)], photos[Pick(0, 2)]
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.targets, again.targets)
    assert not torch.equal(first.targets, other.targets)
    measured = MaskSet(splits.val, splits.classes, recipe)
    assert torch.equal(measured[Pick(0, None)].images, measured[Pick(0, None)].images)
    assert set(measured[Pick(0, None)].targets.unique().tolist()) == {0, 1}


def test_val_has_unseen_objects_on_unseen_scenes(folders: Folders) -> None:
    recipe = pixel_recipe(format="pasted", backgrounds=str(folders[1]), held_out=0.3, paste_objects=(2, 3))
    splits = read_masked_splits(folders[0], recipe)
    scenes = {}
    for name in ("train", "val"):
        source = getattr(splits, name)[0].source
        assert {photo.path for photo in getattr(splits, name)} == set(source.objects)
        blues = {int(photo.read(seed).rgb[..., 2].min()) for photo in getattr(splits, name) for seed in range(6)}
        scenes[name] = {int(read_pixels(path)[0, 0, 2]) for path in source.scenes}
        assert len(scenes[name]) >= 2
        assert max(blues) <= max(scenes[name])
    assert not scenes["train"] & scenes["val"]


def test_a_training_on_other_scenes_is_another_training(folders: Folders) -> None:
    """Scenes are drawn by their number: one more, and a resumed training would go on with other pictures."""
    recipe = pixel_recipe(format="pasted", backgrounds=str(folders[1]), held_out=0.3)
    before = read_masked_splits(folders[0], recipe).description
    assert before == read_masked_splits(folders[0], recipe).description
    save(on_paper(), folders[1] / "another.png")
    after = read_masked_splits(folders[0], recipe).description
    assert {name for name in before if before[name] != after[name]} == {"labels_sha256"}


def test_what_cannot_be_made_is_named(folders: Folders, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="backgrounds=FOLDER"):
        read_masked_splits(folders[0], pixel_recipe(format="pasted"))
    with pytest.raises(DataError, match=r"classes = \['a', 'b'\]"):
        read_masked_splits(folders[0], pixel_recipe(format="white", classes=("a", "b"), held_out=0.3))
    with pytest.raises(DataError, match="holds no photos"):
        read_masked_splits(tmp_path / "shoes", pixel_recipe(format="pasted", backgrounds=str(empty(tmp_path))))
    alone = write_scenes(tmp_path / "alone", 1)
    with pytest.raises(DataError, match="too few to hold out"):
        read_masked_splits(folders[0], pixel_recipe(format="pasted", backgrounds=str(alone)))
    save(on_paper(), folders[0] / "blank.png")
    for changes in ({"format": "white"}, {"format": "pasted", "backgrounds": str(folders[1])}):
        splits = read_masked_splits(folders[0], pixel_recipe(held_out=0.3, **changes))
        blank = next(photo for photo in (*splits.train, *splits.val) if photo.path.stem == "blank")
        with pytest.raises(DataError, match=r"blank\.png: there is nothing but background"):
            blank.read()


def empty(tmp_path: Path) -> Path:
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.output


def test_white_photos_on_disk_are_those_of_a_training(folders: Folders, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run("white", "--photos", folders[0], "--out", out, "--held-out", 0.3)[0] == 0
    recipe = pixel_recipe(classes=("shoe",), held_out=0.3)
    written = read_masked_splits(out, recipe)
    made = read_masked_splits(folders[0], recipe.model_copy(update={"format": "white"}))
    for name in ("train", "val"):
        ours, theirs = getattr(written, name), getattr(made, name)
        assert [photo.path.stem for photo in ours] == [photo.path.stem for photo in theirs]
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one.read().targets, other.read().targets)


def test_pasted_pictures_on_disk(folders: Folders, tmp_path: Path) -> None:
    common = ("paste", "--objects", folders[0], "--backgrounds", folders[1], "--held-out", 0.3, "--count", 10)
    assert run(*common, "--out", tmp_path / "a")[0] == 0
    assert run(*common, "--out", tmp_path / "b")[0] == 0
    assert run(*common, "--out", tmp_path / "c", "--seed", 1)[0] == 0
    names = {split: (tmp_path / "a" / f"{split}.txt").read_text().split() for split in ("train", "val")}
    assert len(names["train"]) == 7
    assert len(names["val"]) == 3
    pictures = [(tmp_path / folder / "images/train_00000.jpg").read_bytes() for folder in "abc"]
    assert pictures[0] == pictures[1] != pictures[2]
    splits = read_masked_splits(tmp_path / "a", pixel_recipe(classes=("shoe",)))
    masked = splits.train[0].read()
    is_red = masked.rgb[..., 0] > 60  # scenes have no red
    assert np.count_nonzero(is_red == (masked.targets == 1)) / is_red.size > 0.97


def test_the_command_line_says_what_is_wrong(folders: Folders, tmp_path: Path) -> None:
    code, output = run("white", "--photos", folders[0], "--out", folders[1])
    assert code == 2
    assert "is not empty" in output
    code, output = run("white", "--photos", tmp_path / "absent", "--out", tmp_path / "out")
    assert code == 2
    assert "absent is no folder" in output
    sizes = ("--least-size", 0.9, "--largest-size", 0.5)
    code, output = run("paste", "--objects", folders[0], "--backgrounds", folders[1], "--out", tmp_path / "o", *sizes)
    assert code == 2
    assert "--largest-size" in output
    assert "Example" in run("paste", "--help")[1]
