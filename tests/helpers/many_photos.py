"""Folders of tiny drawn photos, none of them square, whose masks a test knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console

from weakseg.batch.progress import Lines
from weakseg.batch.tally import Tally


def draw_photo(path: Path, number: int) -> None:
    """A red rectangle on the left and a green one on the right, of sizes that depend on the number; PNG."""
    rgb = np.zeros((8 + number % 3, 12 + number % 5, 3), np.uint8)
    rgb[: 2 + number % 5, : 1 + number % 4] = (255, 0, 0)
    rgb[2 + number % 3 :, 6 + number % 4 :] = (0, 255, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(path)


def draw_photos(folder: Path, count: int) -> Path:
    """``folder/000/000000.png`` ..., a hundred in each folder."""
    for number in range(count):
        draw_photo(folder / f"{number // 100:03d}" / f"{number:06d}.png", number)
    return folder


class Watching(Lines):
    """Shows nothing, and calls ``look`` with the number of photos met after each of them."""

    def __init__(self, look=lambda met: None) -> None:
        super().__init__(Console(quiet=True), every_s=float("inf"))
        self._look = look
        self.complaints: list[tuple[str, str]] = []

    def show(self, tally: Tally, retries: int) -> None:
        self._look(tally.met)

    def complain(self, name: str, words: str) -> None:
        self.complaints.append((name, words))
