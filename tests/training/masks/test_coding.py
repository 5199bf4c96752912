"""Which value or colour of a mask file is which class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.masks.drawn_masks import save
from training.masks.coding import code_colours, code_values, read_values
from weakseg.errors import DataError
from weakseg.voc import palette


def test_values_of_grey_palette_and_bilevel_pictures_are_the_same(tmp_path: Path) -> None:
    values = np.uint8([[0, 1, 1], [1, 0, 1]])
    save(values, tmp_path / "grey.png")
    with_palette = Image.fromarray(values)
    with_palette.putpalette(palette().tobytes())
    with_palette.save(tmp_path / "palette.png")
    Image.fromarray(values.astype(bool)).save(tmp_path / "bilevel.png")
    for name in ("grey", "palette", "bilevel"):
        np.testing.assert_array_equal(read_values(tmp_path / f"{name}.png"), values)


def test_values_by_hand(tmp_path: Path) -> None:
    path = save(np.uint8([[0, 7, 9], [255, 7, 30]]), tmp_path / "mask.png")
    meanings = {7: "hair", 9: "skin", 30: "void"}
    assert code_values(meanings, ["skin", "hair"], "background").read(path).tolist() == [[0, 2, 1], [255, 2, 255]]
    assert code_values(meanings, ["hair"], "background").read(path).tolist() == [[0, 1, 0], [255, 1, 255]]
    assert code_values(meanings, ["hair"], "void").read(path).tolist() == [[0, 1, 255], [255, 1, 255]]
    renamed = {7: "background", 9: "void", 30: "hair", 0: "hair", 255: "background"}
    assert code_values(renamed, ["hair"], "background").read(path).tolist() == [[1, 0, 255], [0, 0, 1]]


@pytest.mark.parametrize("suffix", [".ppm", ".png"])
def test_colours_by_hand(tmp_path: Path, suffix: str) -> None:
    """LFW's part labels: hair red, skin green, background blue."""
    red, green, blue, black = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)
    path = save(np.uint8([[red, green, blue], [black, red, green]]), tmp_path / f"mask{suffix}")
    meanings = {"hair": red, "skin": green, "background": blue}
    assert code_colours(meanings, ["hair", "skin"], "void").read(path).tolist() == [[1, 2, 0], [0, 1, 2]]
    assert code_colours(meanings, ["hair"], "void").read(path).tolist() == [[1, 255, 0], [0, 1, 255]]


def test_colours_of_a_palette_picture(tmp_path: Path) -> None:
    picture = Image.fromarray(np.uint8([[0, 8, 12]]))
    picture.putpalette(palette().tobytes())
    picture.save(tmp_path / "mask.png")
    cat, dog = (tuple(int(value) for value in palette()[index]) for index in (8, 12))
    coding = code_colours({"dog": dog, "cat": cat}, ["dog", "cat"], "background")  # type: ignore[dict-item]
    assert coding.read(tmp_path / "mask.png").tolist() == [[0, 2, 1]]


def test_what_has_no_meaning_is_named(tmp_path: Path) -> None:
    path = save(np.uint8([[0, 1, 3]]), tmp_path / "mask.png")
    with pytest.raises(DataError, match=r"mask\.png has the value 3.*mask_values"):
        code_values({1: "hair"}, ["hair"], "background").read(path)
    path = save(np.uint8([[[1, 2, 3]]]), tmp_path / "colours.png")
    with pytest.raises(DataError, match=r"colours\.png has the colour \[1, 2, 3\].*mask_colours"):
        code_colours({"hair": (255, 0, 0)}, ["hair"], "background").read(path)
    with pytest.raises(DataError, match=r"colours\.png has mode RGB.*mask_colours"):
        read_values(path)


@pytest.mark.parametrize("content", [b"", b"P6 nothing", b"\x89PNG\r\n\x1a\n nothing"])
def test_a_broken_mask_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.png").write_bytes(content)
    with pytest.raises(DataError, match=r"broken\.png cannot be read as a mask"):
        read_values(tmp_path / "broken.png")
    path = save(np.zeros((40, 60), np.uint8), tmp_path / "cut.png")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"cut\.png"):
        read_values(path)
