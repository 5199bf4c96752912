"""The steps beyond the paper's CAM, each on numbers worked out by hand or against the plain double loop."""

import numpy as np
import pytest
import torch

from weakseg.attribution.cam import (
    CamSettings,
    average_by_similarity,
    subtract_mean_class,
)
from weakseg.attribution.placement import interpolation_weights, place_cells
from weakseg.errors import ModelError
from weakseg.models.grid import Grid


def test_contrast_by_hand() -> None:
    weights = torch.tensor([[[4.0, 0.0, 2.0]]])  # (B, K, F), sum 6
    mean = torch.tensor([1.0, 1.0, 1.0])  # scaled to the sum 6: 2 each
    assert subtract_mean_class(weights, mean, 0.5).tolist() == [[[3.0, -1.0, 1.0]]]
    assert subtract_mean_class(weights, mean, 0.0) is weights


def test_a_label_that_is_the_mean_class_keeps_nothing_at_full_contrast() -> None:
    mean = torch.tensor([0.2, 0.5, 0.3])
    assert torch.allclose(subtract_mean_class(7 * mean[None, None], mean, 1.0), torch.zeros(1, 1, 3), atol=1e-6)


def test_similarity_by_hand() -> None:
    """Three cells; the second looks like the first (the seed), the third like neither."""
    features = torch.tensor([[3.0, 5.0, 0.0], [0.0, 0.0, 2.0]]).reshape(1, 2, 1, 3)  # (B, F, h', w')
    maps = torch.tensor([[6.0, 0.0, 0.0]]).reshape(1, 1, 1, 3)  # (B, K, h', w')
    # Similarities 1 between the first two, 0 to the third: means 3, 3, 0; stretched to the old maximum 6.
    assert average_by_similarity(maps, features).flatten().tolist() == [6.0, 6.0, 0.0]


def test_similarity_equals_the_double_loop() -> None:
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(2, 5, 3, 4, generator=generator)
    maps = torch.rand(2, 3, 3, 4, generator=generator)
    before = features.clone(), maps.clone()
    found = average_by_similarity(maps, features).numpy()
    for photo in range(2):
        columns = np.maximum(features[photo].numpy().reshape(5, 12), 0)  # (F, N)
        units = columns / np.linalg.norm(columns, axis=0)
        for label in range(3):
            seeds = maps[photo, label].numpy().reshape(12)  # (N,)
            means = np.array(
                [
                    sum(units[:, i] @ units[:, j] * seeds[j] for j in range(12))
                    / sum(units[:, i] @ units[:, j] for j in range(12))
                    for i in range(12)
                ]
            )
            expected = (means - means.min()) / (means.max() - means.min()) * seeds.max()
            np.testing.assert_allclose(found[photo, label].reshape(12), expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(features, before[0])
    assert torch.equal(maps, before[1])


def test_similarity_of_empty_maps_and_featureless_cells_stays_finite() -> None:
    features = torch.zeros(1, 2, 2, 3)
    assert average_by_similarity(torch.zeros(1, 1, 2, 3), features).tolist() == [[[[0.0] * 3] * 2]]
    assert torch.isfinite(average_by_similarity(torch.rand(1, 1, 2, 3), features)).all()


@pytest.mark.parametrize("width", [1, 3])
def test_similarity_leaves_a_map_of_one_value_alone(width: int) -> None:
    features = torch.tensor([[3.0, 5.0, 0.0], [0.0, 1.0, 2.0]]).reshape(1, 2, 1, 3)[..., :width]
    maps = torch.full((1, 1, 1, width), 0.7)
    assert torch.equal(average_by_similarity(maps, features), maps)


def test_similarity_of_cells_that_all_look_alike_leaves_the_map_alone() -> None:
    """Every mean is the same number but for rounding, which must not be stretched to a map."""
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(1, 64, 1, 1, generator=generator) * torch.rand(1, 1, 14, 13, generator=generator)
    maps, flat = features[:, :1], features[:, :1] * 0 + 0.5
    both = torch.cat([maps, flat], 1)  # (1, 2, 14, 13)
    assert torch.equal(average_by_similarity(both, features), both)


def test_cells_that_divide_the_photo_evenly_stay() -> None:
    """Stride 4, first cell at pixel 1.5: three cells tile twelve pixels."""
    assert torch.allclose(interpolation_weights(torch.arange(3.0), torch.arange(3.0), 12, 4.0, 1.5), torch.eye(3))


def test_cells_are_put_where_they_lie_by_hand() -> None:
    # Cells at pixels 2 and 6 of 8. The parts are centred at 0.5, 2.5, 4.5, 6.5: at cells -0.375, 0.125, 0.625, 1.125.
    weights = interpolation_weights(torch.arange(4.0), torch.arange(2.0), 8, 4.0, 2.0)
    assert torch.allclose(weights, torch.tensor([[1, 0], [0.875, 0.125], [0.375, 0.625], [0, 1]]))


def test_rows_and_columns_have_grids_of_their_own() -> None:
    maps = torch.arange(6.0).reshape(1, 1, 2, 3)
    view, like = torch.zeros(1, 3, 8, 12), torch.zeros(1, 1, 2, 3)
    assert torch.allclose(place_cells(maps, view, Grid((4, 4), (1.5, 1.5)), like), maps)
    shifted = place_cells(maps, view, Grid((4, 4), (1.5, 5.5)), like)  # every column lies one cell to the right
    assert torch.allclose(shifted, torch.tensor([[[[0.0, 0, 1], [3, 3, 4]]]]))


@pytest.mark.parametrize("settings", [{"contrast": 0.5}, {"contrast": 1.5, "positive_weights": True}])
def test_contrast_needs_positive_weights_and_a_fraction(settings: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="contrast"):
        CamSettings(**settings)  # type: ignore[arg-type]
