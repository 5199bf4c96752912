"""Photos as batches. Measuring squashes a photo as the service does; training may vary it, reproducibly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from training.labels import Photo
from training.recipe import Recipe
from training.variation import build_variation, vary
from weakseg.card import Preprocessing
from weakseg.codec.decode import decode_image
from weakseg.errors import DataError, RequestError
from weakseg.preprocess import prepare
from weakseg.types import Rgb


class Pick(NamedTuple):
    """One photo of one epoch: the seed of its variation (none: as served), and whether measurements count it."""

    number: int
    seed: int | None
    counts: bool = True


class Batch(NamedTuple):
    images: Tensor  # (B, 3, h, w) uint8
    targets: Tensor  # (B, C) float32, 1 for every class shown
    counts: Tensor  # (B,) bool: False for photos that only fill up a process's share


def mix(*numbers: int) -> int:
    """One seed out of several numbers, without the patterns that adding them would have."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def shuffle(count: int, seed: int, epoch: int, rank: int, world: int) -> list[Pick]:
    """One process's share of an epoch, in random order. Every share is equally long; some photos may come twice."""
    order = np.random.default_rng([seed, epoch]).permutation(count)
    order = np.resize(order, -(-count // world) * world)
    return [Pick(int(index), mix(seed, epoch, int(index))) for index in order[rank::world]]


def line_up(count: int, rank: int, world: int) -> list[Pick]:
    """One process's share for measuring, in order. Fillers that make the shares equally long do not count."""
    picks = [Pick(index % count, None, index < count) for index in range(-(-count // world) * world)]
    return picks[rank::world]


class PhotoSet(Dataset[Batch]):
    """Photos as network inputs of uint8, and what they show. Indexed by `Pick`, not by number."""

    def __init__(self, photos: Sequence[Photo], classes: Sequence[str], recipe: Recipe) -> None:
        self.photos = photos
        self.classes = classes
        self.recipe = recipe
        self._vary = build_variation(recipe)

    def __getitem__(self, pick: Pick) -> Batch:
        photo = self.photos[pick.number]
        rgb = read_photo(photo)
        return Batch(self._to_input(rgb, pick.seed), self.target(photo), torch.tensor(pick.counts))

    def target(self, photo: Photo) -> Tensor:
        """(C,) float32: 1 for every class that the photo shows."""
        return torch.tensor([float(name in photo.labels) for name in self.classes])

    def show(self, number: int) -> tuple[Rgb, Tensor, Tensor]:
        """A photo (H, W, 3), the network's input (3, h, w) uint8 that measurements make of it, and its target."""
        rgb = read_photo(self.photos[number])
        return rgb, squash(rgb, self.recipe.input_hw), self.target(self.photos[number])

    def _to_input(self, rgb: Rgb, seed: int | None) -> Tensor:
        if seed is None:
            return squash(rgb, self.recipe.input_hw)
        whole = self.recipe.crop is None
        image = squash(rgb, self.recipe.input_hw) if whole else torch.from_numpy(rgb).permute(2, 0, 1)  # (3, H, W)
        varied: Tensor = vary(self._vary, seed, image)  # (3, h, w)
        return varied


def read_photo(photo: Photo) -> Rgb:
    """(H, W, 3) uint8 RGB, upright. Raises: DataError naming the file."""
    return read_pixels(photo.path)


def read_pixels(path: Path) -> Rgb:
    """(H, W, 3) uint8 RGB, upright. Raises: DataError naming the file."""
    try:
        return decode_image(path.read_bytes())
    except (OSError, RequestError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def squash(rgb: Rgb, hw: tuple[int, int]) -> Tensor:
    """(H, W, 3) to (3, h, w) uint8, by the very function that serves."""
    unused = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)  # normalisation happens on the batch, as in the exported graph
    image, _ = prepare(rgb, Preprocessing(height=hw[0], width=hw[1], mean=unused[0], std=unused[1]))
    return torch.from_numpy(image).permute(2, 0, 1)  # (3, h, w)


def load(photos: PhotoSet, picks: Sequence[Pick], *, even: bool) -> DataLoader[Batch]:
    """Batches in the order of the picks; with ``even``, an incomplete one at the end is left out."""
    recipe = photos.recipe
    return DataLoader(
        photos,
        batch_size=recipe.batch,
        sampler=picks,
        num_workers=recipe.workers,
        drop_last=even and len(picks) >= recipe.batch,
    )
