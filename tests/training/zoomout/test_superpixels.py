import numpy as np
from skimage.data import chelsea

from training.zoomout.superpixels import find_superpixels, share_cells, spread


def test_superpixels_are_numbered_without_gaps() -> None:
    rgb = chelsea()[:120, :200]
    found = find_superpixels(rgb, 40)
    assert found.shape == (120, 200)
    assert 20 <= found.max() + 1 <= 60
    assert set(np.unique(found)) == set(range(found.max() + 1))
    np.testing.assert_array_equal(found, find_superpixels(rgb, 40))


def test_shares_of_cells_by_hand() -> None:
    # Cells of 2 x 2 pixels, two rows and three columns. Superpixel 1 is the last three columns.
    superpixels = np.zeros((4, 6), np.int32)
    superpixels[:, 3:] = 1
    shares = share_cells(superpixels, (2, 3)).toarray()
    third, sixth = 1 / 3, 1 / 6
    expected = [[third, sixth, 0, third, sixth, 0], [0, sixth, third, 0, sixth, third]]
    np.testing.assert_allclose(shares, expected, rtol=1e-6)


def test_a_mean_over_cells_is_the_mean_over_pixels() -> None:
    rng = np.random.default_rng(0)
    superpixels = rng.permutation(np.arange(60) % 4).reshape(6, 10).astype(np.int32)
    feature_map = rng.random((3, 5))  # (h', w'), cells of 2 x 2 pixels
    pixels = np.kron(feature_map, np.ones((2, 2)))  # (6, 10)
    expected = [pixels[superpixels == label].mean() for label in range(4)]
    np.testing.assert_allclose(share_cells(superpixels, (3, 5)) @ feature_map.ravel(), expected, rtol=1e-6)


def test_a_grid_finer_than_the_photo() -> None:
    shares = share_cells(np.array([[0, 1]], np.int32), (3, 8)).toarray()
    np.testing.assert_array_equal(shares.sum(axis=1), [1, 1])
    assert shares[0].argmax() == 8 + 2, "the cell that holds the pixel's centre"


def test_scores_go_to_their_pixels() -> None:
    scores = np.array([[1, 2], [3, 4]], np.float32)  # two superpixels, two classes
    found = spread(scores, np.array([[0, 1, 1]], np.int32))
    assert found.tolist() == [[[1, 3, 3]], [[2, 4, 4]]]
