from __future__ import annotations

import io

import numpy as np
import pytest

from weakseg.codec.npz import encode_npz
from weakseg.errors import ShapeMismatchError

MAPS = np.array([[[0.0, 0.5, 1.0]], [[0.1, 0.25, 0.0]]], np.float32)  # (2, 1, 3)
LABEL_MAP = np.array([[0, 1, 2]], np.uint8)  # (1, 3)


def test_round_trip_without_pickle():
    with np.load(io.BytesIO(encode_npz(MAPS, LABEL_MAP, ["dog", "Schäferhund"])), allow_pickle=False) as archive:
        assert sorted(archive) == ["label_map", "labels", "maps"]
        assert archive["maps"].dtype == np.float16
        np.testing.assert_array_equal(archive["maps"], MAPS.astype(np.float16))
        np.testing.assert_array_equal(archive["label_map"], LABEL_MAP)
        assert archive["label_map"].dtype == np.uint8
        assert archive["labels"].tolist() == ["dog", "Schäferhund"]


def test_no_maps():
    data = encode_npz(np.zeros((0, 1, 3), np.float32), LABEL_MAP, [])
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        assert archive["maps"].shape == (0, 1, 3)
        assert archive["labels"].shape == (0,)


@pytest.mark.parametrize(
    ("label_map", "names"), [(LABEL_MAP, ["dog"]), (LABEL_MAP.T, ["dog", "cat"])], ids=["one name", "turned"]
)
def test_shapes_must_agree(label_map, names):
    with pytest.raises(ShapeMismatchError):
        encode_npz(MAPS, label_map, names)
