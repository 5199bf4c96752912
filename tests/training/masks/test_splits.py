"""Which photos with masks a data set has, and what is said where something is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.helpers.drawn_photos import tiny_recipe, write_folders
from tests.helpers.tiny_voc import save_mask, write_voc
from tests.training.masks.drawn_masks import HW, pixel_recipe, save, two_halves, write_masks
from training.labels import read_splits
from training.masks.maskset import MaskSet
from training.masks.splits import MaskedSplits, read_masked_splits
from training.photos import Pick
from weakseg.errors import DataError

HALF = HW[1] // 2


@pytest.fixture
def numbered(tmp_path: Path) -> Path:
    """Twelve masks: background on the left, class 1 or 2 on the right."""
    return write_masks(tmp_path / "numbered", {f"p{n:02d}": two_halves(0, 1 + n % 2) for n in range(12)})


def targets(splits: MaskedSplits, number: int = 0, part: str = "train") -> list[int]:
    """Values of one mask, left and right."""
    masked = getattr(splits, part)[number].read()
    return [int(masked.targets[0, 0]), int(masked.targets[-1, -1])]


def test_a_voc_folder(tmp_path: Path) -> None:
    """``wide``: a cat of 32 x 32 and void; ``tall``: a cat and a horse."""
    root = write_voc(tmp_path)
    splits = read_masked_splits(root, pixel_recipe(classes=("horse", "cat")))
    assert [photo.path.stem for photo in splits.train] == ["wide"]
    assert [photo.path.stem for photo in splits.val] == ["wide", "tall"]
    assert splits.classes == ("horse", "cat")
    wide, tall = (photo.read().targets for photo in splits.val)
    assert wide.shape == (64, 96)
    assert [int(wide[y, x]) for y, x in ((20, 20), (20, 50), (5, 5))] == [2, 255, 0]
    assert [int(tall[y, x]) for y, x in ((30, 10), (80, 10), (5, 5))] == [2, 1, 0]
    assert splits.description["layout"] == "voc_masks"


@pytest.mark.parametrize(("others", "value"), [("background", 0), ("void", 255)])
def test_classes_that_are_not_learned(tmp_path: Path, others: str, value: int) -> None:
    splits = read_masked_splits(write_voc(tmp_path), pixel_recipe(classes=("cat",), other_classes=others))
    tall = splits.val[1].read().targets
    assert [int(tall[30, 10]), int(tall[80, 10])] == [1, value]


def test_voc_has_all_its_classes_by_default(tmp_path: Path) -> None:
    splits = read_masked_splits(write_voc(tmp_path), pixel_recipe(format="voc_masks"))
    assert len(splits.classes) == 20
    assert int(splits.val[1].read().targets[80, 10]) == 13


def test_masks_from_another_folder_are_learned_and_true_ones_measured(tmp_path: Path) -> None:
    """The bridge: VOC's photos with masks that a weak method made of those to learn from, and of no others."""
    root = write_voc(tmp_path / "voc")
    (tmp_path / "weak").mkdir()
    save_mask(two_halves(0, 8, (64, 96)), tmp_path / "weak" / "wide.png")
    recipe = pixel_recipe(classes=("cat",), masks_dir=str(tmp_path / "weak"))
    splits = read_masked_splits(root, recipe)
    own = read_masked_splits(root, pixel_recipe(classes=("cat",)))
    assert targets(splits) == [0, 1]
    assert targets(own) == [0, 0]
    assert [photo.mask for photo in splits.val] == [photo.mask for photo in own.val]
    assert splits.description["labels_sha256"] != own.description["labels_sha256"]
    (tmp_path / "weak/wide.png").unlink()
    with pytest.raises(DataError, match=r"1 of 1 masks for train are missing, first .*weak/wide\.png"):
        read_masked_splits(root, recipe)


def test_kept_masks_of_another_folder_are_not_mixed_up_with_true_ones(tmp_path: Path) -> None:
    """One photo on both sides: its two masks are different things."""
    root = write_voc(tmp_path / "voc")
    (tmp_path / "weak").mkdir()
    save_mask(two_halves(0, 8, (64, 96)), tmp_path / "weak" / "wide.png")
    splits = read_masked_splits(root, pixel_recipe(classes=("cat",), cache=True, masks_dir=str(tmp_path / "weak")))
    assert splits.train[0].path == splits.val[0].path
    assert [targets(splits, 0, part) for part in ("train", "val")] == [[0, 1], [0, 0]]


def test_without_masks_of_its_own_a_folder_is_measured_on_those_of_another(numbered: Path, tmp_path: Path) -> None:
    (numbered / "masks").rename(tmp_path / "elsewhere")
    recipe = pixel_recipe(classes=("hair", "skin"), held_out=0.3, masks_dir=str(tmp_path / "elsewhere"))
    splits = read_masked_splits(numbered, recipe)
    assert {photo.mask.parent for part in (splits.train, splits.val) for photo in part if photo.mask} == {
        tmp_path / "elsewhere"
    }
    assert len(splits.train) + len(splits.val) == 12


def test_a_folder_is_shared_out_by_name_as_photos_are(numbered: Path) -> None:
    recipe = pixel_recipe(classes=("hair", "skin"), held_out=0.3)
    splits = read_masked_splits(numbered, recipe)
    held = {photo.path.stem for photo in splits.val}
    assert len(splits.train) + len(splits.val) == 12
    assert 1 <= len(held) <= 7
    write_masks(numbered, {f"q{n:02d}": two_halves(0, 1) for n in range(5)})
    assert held <= {photo.path.stem for photo in read_masked_splits(numbered, recipe).val}


def test_lists_of_names_with_and_without_suffix(numbered: Path) -> None:
    (numbered / "train.txt").write_text("p03\np01.png 0\n\np03\n")
    (numbered / "val.txt").write_text("p02\n")
    splits = read_masked_splits(numbered, pixel_recipe(classes=("hair", "skin")))
    assert [photo.path.stem for photo in splits.train] == ["p03", "p01"]
    assert [photo.path.stem for photo in splits.val] == ["p02"]
    (numbered / "val.txt").write_text("p77\n")
    with pytest.raises(DataError, match=r"val\.txt names 'p77'"):
        read_masked_splits(numbered, pixel_recipe(classes=("hair", "skin")))


def test_names_may_have_folders(tmp_path: Path) -> None:
    root = write_masks(tmp_path, {f"{person}/{n}": two_halves(0, 255) for person in ("ann", "bob") for n in range(4)})
    (root / "train.txt").write_text("ann/1\nann/2\n")
    (root / "val.txt").write_text("bob/1\n")
    splits = read_masked_splits(root, pixel_recipe(classes=("hair",)))
    assert targets(splits, 0, "val") == [0, 1]
    assert splits.val[0].path == root / "images/bob/1.png"


def test_names_may_have_spaces_and_none_comes_twice(tmp_path: Path) -> None:
    root = write_masks(tmp_path, {name: two_halves(0, 255) for name in ("left shoe", "left", "right shoe")})
    (root / "train.txt").write_text("left shoe\nleft.png\nleft\n")
    (root / "val.txt").write_text("right shoe.png\n")
    splits = read_masked_splits(root, pixel_recipe(classes=("shoe",)))
    assert [photo.path.stem for photo in splits.train] == ["left shoe", "left"]
    assert [photo.path.stem for photo in splits.val] == ["right shoe"]


def test_two_valued_masks_are_foreground(tmp_path: Path) -> None:
    white = write_masks(tmp_path / "white", {f"p{n}": two_halves(0, 255) for n in range(12)})
    assert targets(read_masked_splits(white, pixel_recipe(classes=("hair",)))) == [0, 1]
    other = {f"p{n}": two_halves(255, n > 0) for n in range(12)}  # 1 somewhere: 255 is void
    void = write_masks(tmp_path / "void", other)
    assert targets(read_masked_splits(void, pixel_recipe(classes=("hair",))), 1) == [255, 1]


def test_two_valued_masks_of_several_classes_hold_nothing_to_learn(tmp_path: Path) -> None:
    white = write_masks(tmp_path, {f"p{n}": two_halves(0, 255) for n in range(12)})
    with pytest.raises(DataError, match=r"classes names hair, skin, but all masks hold 0 and 255 alone"):
        read_masked_splits(white, pixel_recipe(classes=("hair", "skin")))


def test_values_and_colours_that_the_recipe_names(numbered: Path, tmp_path: Path) -> None:
    splits = read_masked_splits(numbered, pixel_recipe(mask_values={"skin": 2, "hair": 1}))
    assert splits.classes == ("skin", "hair")
    assert sorted({targets(splits, n)[1] for n in range(len(splits.train))}) == [1, 2]
    splits = read_masked_splits(numbered, pixel_recipe(mask_values={"skin": 2, "hair": 1}, classes=("hair",)))
    assert sorted({targets(splits, n)[1] for n in range(len(splits.train))}) == [0, 1]
    parts = {f"p{n}": np.stack([two_halves(0, 255), two_halves(0, 0), two_halves(255, 0)], 2) for n in range(12)}
    root = write_masks(tmp_path / "parts", parts, ".ppm")
    colours = {"hair": (255, 0, 0), "skin": (0, 255, 0), "background": (0, 0, 255)}
    splits = read_masked_splits(root, pixel_recipe(mask_colours=colours))
    assert splits.classes == ("hair", "skin")
    assert targets(splits) == [0, 1]


def test_limit_takes_some_of_each(numbered: Path) -> None:
    splits = read_masked_splits(numbered, pixel_recipe(classes=("hair", "skin"), held_out=0.5, limit=3))
    assert len(splits.train) == len(splits.val) == 3


def test_the_description_changes_with_a_mask(numbered: Path) -> None:
    recipe = pixel_recipe(classes=("hair", "skin"))
    before = read_masked_splits(numbered, recipe).description
    assert before == read_masked_splits(numbered, recipe).description
    save(two_halves(0, 0), numbered / "masks/p03.png")
    after = read_masked_splits(numbered, recipe).description
    assert {name for name in before if before[name] != after[name]} == {"labels_sha256"}


def test_kept_photos_are_read_once(numbered: Path) -> None:
    plain = read_masked_splits(numbered, pixel_recipe(classes=("hair", "skin")))
    kept = read_masked_splits(numbered, pixel_recipe(classes=("hair", "skin"), cache=True))
    first = kept.train[0].read()
    for path in (kept.train[0].path, kept.train[0].mask):
        assert path is not None
        path.unlink()
    assert kept.train[0].read() is first
    with pytest.raises(DataError, match="cannot be read"):
        plain.train[0].read()


def test_worker_processes_find_what_is_kept(numbered: Path) -> None:
    recipe = pixel_recipe(classes=("hair", "skin"), cache=True, workers=2)
    splits = read_masked_splits(numbered, recipe)
    photos = MaskSet(splits.train, splits.classes, recipe)
    for path in [*numbered.rglob("*.png")]:
        path.unlink()
    assert photos[Pick(len(splits.train) - 1, None)].images.shape == (3, 32, 40)


def test_what_is_missing_is_named(numbered: Path, tmp_path: Path) -> None:
    recipe = pixel_recipe(classes=("hair", "skin"))
    with pytest.raises(DataError, match="classes="):
        read_masked_splits(numbered, pixel_recipe())
    with pytest.raises(DataError, match="'hat', which no mask holds"):
        read_masked_splits(numbered, pixel_recipe(mask_values={"hair": 1}, classes=("hat",)))
    with pytest.raises(DataError, match="no class but the background"):
        read_masked_splits(numbered, pixel_recipe(mask_values={"void": 1}))
    with pytest.raises(DataError, match=r"ImageSets.*images.*format=white"):
        read_masked_splits(tmp_path / "absent", recipe)
    with pytest.raises(DataError, match="masks_dir"):
        read_masked_splits(numbered, pixel_recipe(masks_dir=str(tmp_path / "absent")))
    (numbered / "masks/p05.png").unlink()
    with pytest.raises(DataError, match=r"1 of \d+ masks for \w+ are missing, first .*p05\.png"):
        read_masked_splits(numbered, recipe)
    save(two_halves(0, 1, (10, 20)), numbered / "masks/p05.png")
    splits = read_masked_splits(numbered, recipe)
    photo = next(photo for photo in (*splits.train, *splits.val) if photo.path.stem == "p05")
    with pytest.raises(DataError, match=r"36 x 24 pixels, its mask .* 20 x 10"):
        photo.read()
    with pytest.raises(DataError, match="No split 'other'"):
        read_masked_splits(write_voc(tmp_path / "voc"), pixel_recipe(train_split="other"))


def test_formats_with_and_without_masks_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'csv' has no masks.*voc_masks"):
        read_masked_splits(tmp_path, pixel_recipe(format="csv"))
    with pytest.raises(DataError, match="'masks' has masks, not labels"):
        read_splits(write_folders(tmp_path, 1), tiny_recipe(format="masks"))


@pytest.mark.real_data
def test_real_hair_and_voc(voc_folder: Path) -> None:
    splits = read_masked_splits(voc_folder, pixel_recipe(classes=("cat", "dog"), limit=20, other_classes="void"))
    assert {int(value) for photo in splits.train for value in np.unique(photo.read().targets)} == {0, 1, 2, 255}
    splits = read_masked_splits(voc_folder / "lfw_hair", pixel_recipe(classes=("hair",), limit=20))
    assert {int(value) for photo in splits.train for value in np.unique(photo.read().targets)} == {0, 1}
