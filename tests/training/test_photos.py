"""Photos as batches: as the service sees them, and varied reproducibly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.helpers.drawn_photos import KINDS, tiny_recipe, write_folders
from training.labels import Photo, read_splits
from training.photos import PhotoSet, Pick, line_up, load, mix, shuffle
from weakseg.card import Preprocessing
from weakseg.codec.decode import decode_image
from weakseg.errors import DataError
from weakseg.preprocess import prepare


@pytest.fixture
def photos(tmp_path: Path) -> PhotoSet:
    recipe = tiny_recipe()
    return PhotoSet(read_splits(write_folders(tmp_path, 3), recipe).train, KINDS, recipe)


def test_what_is_measured_is_what_the_service_feeds_its_network(photos: PhotoSet) -> None:
    batch = photos[Pick(4, None)]
    rgb = decode_image(photos.photos[4].path.read_bytes())
    served, _ = prepare(rgb, Preprocessing(height=32, width=40, mean=(0, 0, 0), std=(1, 1, 1)))
    assert batch.images.shape == (3, 32, 40)
    np.testing.assert_array_equal(batch.images.permute(1, 2, 0), served)
    assert batch.targets.tolist() == [0, 1, 0]


def test_photos_are_turned_upright(tmp_path: Path) -> None:
    recipe = tiny_recipe()
    pixels = np.zeros((32, 40, 3), np.uint8)
    pixels[:16] = 255  # white above
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    batch = PhotoSet([Photo(tmp_path / "turned.png", ("disc",))], KINDS, recipe)[Pick(0, None)]
    assert batch.images[:, :16].max() == 0
    assert batch.images[:, 16:].min() == 255


def test_variation_depends_on_its_seed_alone_and_leaves_the_random_state(photos: PhotoSet) -> None:
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    first = photos[Pick(0, 7)].images
    assert torch.equal(state, torch.random.get_rng_state())
    torch.rand(3)
    assert torch.equal(first, photos[Pick(0, 7)].images)
    assert not torch.equal(first, photos[Pick(0, 8)].images)
    assert first.dtype == torch.uint8
    assert first.shape == (3, 32, 40)


def test_without_variation_training_sees_the_service_s_input(tmp_path: Path) -> None:
    recipe = tiny_recipe(crop=None, flip=False, jitter=0.0)
    photos = PhotoSet(read_splits(write_folders(tmp_path, 1), recipe).train, KINDS, recipe)
    assert torch.equal(photos[Pick(0, 5)].images, photos[Pick(0, None)].images)


def test_an_epoch_shows_every_photo_once_in_an_order_of_its_own() -> None:
    epochs = [[pick.number for pick in shuffle(11, 3, epoch, 0, 1)] for epoch in (0, 1)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(11))
    assert epochs[0] != epochs[1]
    assert shuffle(11, 3, 1, 0, 1) == shuffle(11, 3, 1, 0, 1)


def test_processes_share_an_epoch_and_vary_photos_as_one_would() -> None:
    alone, shares = shuffle(11, 3, 2, 0, 1), [shuffle(11, 3, 2, rank, 2) for rank in (0, 1)]
    assert [len(share) for share in shares] == [6, 6]
    assert {*shares[0], *shares[1]} == {*alone}


def test_measuring_counts_every_photo_once() -> None:
    shares = [line_up(5, rank, 2) for rank in (0, 1)]
    assert [len(share) for share in shares] == [3, 3]
    assert sorted(pick.number for share in shares for pick in share if pick.counts) == [0, 1, 2, 3, 4]


def test_seeds_of_neighbours_differ() -> None:
    assert len({mix(0, epoch, index) for epoch in range(20) for index in range(20)}) == 400


def test_batches_and_their_incomplete_end(photos: PhotoSet) -> None:
    picks = line_up(9, 0, 1)
    assert [len(batch.images) for batch in load(photos, picks, even=False)] == [5, 4]
    assert [len(batch.images) for batch in load(photos, picks, even=True)] == [5]
    assert [len(batch.images) for batch in load(photos, picks[:3], even=True)] == [3]


def test_a_broken_photo_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    for name in ("broken.jpg", "absent.jpg"):
        with pytest.raises(DataError, match=name):
            PhotoSet([Photo(tmp_path / name, ())], KINDS, tiny_recipe())[Pick(0, None)]
