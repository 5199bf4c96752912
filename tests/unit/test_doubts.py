import numpy as np

from weakseg.doubts import find_doubts
from weakseg.types import Segment


def test_nothing_to_say_about_a_good_answer() -> None:
    label_map = np.repeat([[0, 1]], 10, 0).repeat(4, 1).astype(np.uint8)  # (10, 8)
    assert find_doubts(label_map, [Segment("cat", 3, 0.8, 1)]) == ()
    assert find_doubts(label_map, [Segment("object", -1, None, 1)]) == ()


def test_every_doubt() -> None:
    label_map = np.full((10, 8), 2, np.uint8)
    label_map[0, 0] = 0
    low, everything = find_doubts(label_map, [Segment("horse", 5, 8.3e-05, 2)])
    assert low == "horse: its score is 8.3e-05; the photo may not show it."
    assert everything == "horse: its mask covers 99% of the photo; it found no background."
    assert find_doubts(label_map, [Segment("cat", 3, 0.8, 1)]) == ("cat: its mask is empty.",)
