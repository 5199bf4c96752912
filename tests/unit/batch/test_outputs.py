"""Masks of category ids, from answers; files whole or not at all."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from weakseg.batch.answers import UnreadableAnswerError, label_map
from weakseg.batch.outputs import Outputs, encode_values
from weakseg.codec.coco import encode_rle
from weakseg.errors import BatchError
from weakseg.options import Format
from weakseg.voc import palette


@pytest.mark.parametrize(
    ("number", "mode", "dtype"),
    [(8, "P", np.uint8), (254, "P", np.uint8), (255, "I;16", np.uint16), (1020, "I;16", np.uint16)],
)
def test_values_are_category_ids(tmp_path: Path, number: int, mode: str, dtype: type) -> None:
    mask = np.zeros((5, 7), bool)
    mask[1:3, 2:6] = True
    record = {"width": 7, "height": 5, "segments": [{"category_id": number, "rle": encode_rle(mask)}]}
    (tmp_path / "mask.png").write_bytes(encode_values(label_map(record)))
    with Image.open(tmp_path / "mask.png") as picture:
        assert picture.mode == mode
        if mode == "P":
            assert picture.getpalette()[3 * number : 3 * number + 3] == palette()[number].tolist()
        read = np.array(picture)
    assert read.dtype == dtype
    assert np.array_equal(read, mask * number)


def test_no_segment_is_an_empty_mask() -> None:
    assert label_map({"width": 7, "height": 5, "segments": []}).shape == (5, 7)


def test_a_disk_that_is_full_stops_the_run_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_bytes(path: Path, content: bytes) -> int:
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    outputs = Outputs(tmp_path, (Format.MASK,))
    with pytest.raises(BatchError, match=r"No space left on device.*run the same command again") as caught:
        outputs.write("a/1.jpg", 1, Format.MASK, b"content")
    assert type(caught.value) is BatchError, "not of this photo alone"
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("hw", [(4, 7), (5, 8)])
def test_run_lengths_of_another_size_are_no_mask(hw: tuple[int, int]) -> None:
    rle = encode_rle(np.ones(hw, bool))
    record = {"width": 7, "height": 5, "segments": [{"category_id": 8, "label": "cat", "rle": {**rle, "size": [5, 7]}}]}
    with pytest.raises(UnreadableAnswerError, match="cat"):
        label_map(record)
