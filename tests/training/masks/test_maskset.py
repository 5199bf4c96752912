"""Photos and masks as batches: as measured, and varied together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.masks.drawn_masks import pixel_recipe, save, two_halves, write_masks
from training.masks.maskset import MaskSet, squash_mask
from training.masks.splits import read_masked_splits
from training.photos import Pick, line_up, load, shuffle, squash

ALL = {
    "crop": (0.4, 1.0),
    "flip": True,
    "jitter": 0.3,
    "turn": 15.0,
    "shift": 0.1,
    "zoom": (0.8, 1.2),
    "blur": 1.0,
    "noise": 0.1,
    "dropout": 0.1,
}


def mask_set(root: Path, **changes: object) -> MaskSet:
    """Photos of 24 x 36 whose right half is red, and class 1 in the mask."""
    if not root.exists():
        write_masks(root, {f"p{n:02d}": two_halves(0, 255) for n in range(12)})
    recipe = pixel_recipe(classes=("hair",), held_out=0.2, **changes)
    splits = read_masked_splits(root, recipe)
    return MaskSet(splits.train, splits.classes, recipe)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "photos"


def test_measuring_squashes_photo_and_mask(root: Path) -> None:
    photos = mask_set(root, **ALL)
    batch = photos[Pick(3, None, False)]
    assert torch.equal(batch.images, squash(photos.photos[3].read().rgb, (32, 40)))
    assert batch.targets.dtype == torch.uint8
    assert batch.targets.shape == (32, 40)
    assert torch.equal(batch.targets, torch.from_numpy(two_halves(0, 1, (32, 40))))
    assert not batch.counts


def test_squashing_a_mask_takes_the_value_at_each_pixel_s_centre() -> None:
    mask = np.uint8([[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 255, 11]])
    assert squash_mask(mask, (2, 2)).tolist() == [[1, 4], [7, 255]]
    assert squash_mask(mask[:, :2], (2, 4)).tolist() == [[0, 0, 1, 1], [6, 6, 7, 7]]


def test_without_variation_training_sees_what_is_measured(root: Path) -> None:
    photos = mask_set(root)
    varied, measured = photos[Pick(0, 5)], photos[Pick(0, None)]
    assert torch.equal(varied.images, measured.images)
    assert torch.equal(varied.targets, measured.targets)


@pytest.mark.parametrize("changes", [{"crop": (0.4, 1.0)}, {"flip": True}, {"turn": 30.0, "zoom": (0.7, 1.3)}])
def test_the_mask_moves_with_the_photo(root: Path, changes: dict[str, object]) -> None:
    """Red is where the class is, but for the seam between both, and outside of the photo, which is void."""
    photos = mask_set(root, **changes)
    differ = 0
    for seed in range(12):
        batch = photos[Pick(seed % 3, seed)]
        known = batch.targets != 255
        is_red = batch.images[0] > 127
        assert batch.images.shape == (3, 32, 40)
        assert batch.images.dtype == batch.targets.dtype == torch.uint8
        assert ((is_red == (batch.targets == 1)) | ~known).float().mean() > 0.96
        differ += not torch.equal(batch.targets, photos[Pick(0, None)].targets)
    assert differ >= 4


def test_outside_of_the_photo_is_void_and_grey(root: Path) -> None:
    photos = mask_set(root, shift=0.5)
    moved = [batch for batch in (photos[Pick(0, seed)] for seed in range(8)) if (batch.targets == 255).any()]
    assert len(moved) >= 6
    for batch in moved:
        outside = batch.targets == 255
        assert set(batch.images[:, outside].unique().tolist()) == {124}
        assert set(batch.targets[~outside].unique().tolist()) <= {0, 1}


@pytest.mark.parametrize("changes", [{"jitter": 0.5}, {"noise": 0.3}, {"dropout": 0.5}, {"blur": 3.0}])
def test_changes_of_colour_leave_the_mask(root: Path, changes: dict[str, object]) -> None:
    photos = mask_set(root, **changes)
    plain = photos[Pick(0, None)]
    batches = [photos[Pick(0, seed)] for seed in range(6)]
    assert all(torch.equal(batch.targets, plain.targets) for batch in batches)
    assert sum(not torch.equal(batch.images, plain.images) for batch in batches) >= 2


def test_variation_depends_on_its_seed_alone(root: Path) -> None:
    photos = mask_set(root, **ALL)
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    first = photos[Pick(0, 7)]
    assert torch.equal(state, torch.random.get_rng_state())
    torch.rand(3)
    again, other = photos[Pick(0, 7)], photos[Pick(0, 8)]
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.targets, again.targets)
    assert not torch.equal(first.images, other.images)
    assert not torch.equal(first.targets, other.targets)


def test_what_is_kept_in_memory_is_not_changed_by_variation(root: Path) -> None:
    plain, kept = mask_set(root, **ALL), mask_set(root, cache=True, **ALL)
    for seed in (1, 2, None):
        for ours, theirs in zip(plain[Pick(0, seed)], kept[Pick(0, seed)], strict=True):
            assert torch.equal(ours, theirs)


def test_batches(root: Path) -> None:
    photos = mask_set(root, **ALL)
    batches = list(load(photos, shuffle(len(photos.photos), 0, 0, 0, 1), even=False))
    assert batches[0].images.shape == (5, 3, 32, 40)
    assert batches[0].targets.shape == (5, 32, 40)
    assert sum(int(batch.counts.sum()) for batch in load(photos, line_up(9, 0, 1), even=False)) == 9


def test_void_in_files_stays_void(tmp_path: Path) -> None:
    masks = {f"p{n}": two_halves(255, 1) for n in range(12)}
    photos = mask_set(write_masks(tmp_path, masks), **{"flip": True})
    assert set(photos[Pick(0, 3)].targets.unique().tolist()) == {1, 255}
    save(np.full((24, 36, 3), 9, np.uint8), photos.photos[0].path)
    assert set(photos[Pick(0, None)].images.unique().tolist()) == {9}
