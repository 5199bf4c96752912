"""Pictures of class maps, on networks and maps that are known by hand."""

from __future__ import annotations

import numpy as np
import torch

from tests.helpers.tiny_networks import HEAD_WEIGHT, RedGreenNet
from training.samples import HEIGHT_PX, class_maps, draw_maps, stack
from weakseg.models.classifier import build_network


def test_class_maps_are_the_head_applied_to_every_position() -> None:
    images = torch.rand(2, 3, 96, 128)
    expected = torch.einsum("cf,nfhw->nchw", torch.tensor(HEAD_WEIGHT), images[:, :2])
    torch.testing.assert_close(class_maps(RedGreenNet(), images), expected)


def test_a_network_with_a_class_map_of_its_own_is_asked_for_it() -> None:
    with torch.device("meta"):
        network = build_network("vgg16_fcn", 4).eval()
        assert class_maps(network, torch.empty(2, 3, 64, 96)).shape == (2, 4, 2, 3)


def test_a_network_without_maps_has_none() -> None:
    network = torch.nn.Sequential(torch.nn.AdaptiveMaxPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 4))
    assert class_maps(network, torch.rand(1, 3, 96, 128)) is None


def test_the_photo_stands_beside_its_maps() -> None:
    photo = np.full((80, 120, 3), 200, np.uint8)
    evidence = np.float32([[-1, 4]])  # all on the right
    picture = draw_maps(photo, {"cat": evidence, "dog": -evidence})
    assert picture.shape == (HEIGHT_PX, 3 * 240, 3)
    assert (picture[:, :240] == 200).all()
    brightness = picture[60:].mean((0, 2))
    assert brightness[470] > 1.5 * brightness[250]
    assert brightness[490] > 1.5 * brightness[710]


def test_rows_of_different_widths_are_stacked() -> None:
    rows = [np.full((4, width, 3), 9, np.uint8) for width in (5, 7)]
    stacked = stack(rows)
    assert stacked.shape == (12, 7, 3)
    assert stacked[:4, :5].min() == 9
    assert stacked[:4, 5:].max() == 0


def test_no_evidence_at_all_is_black_and_not_an_error() -> None:
    picture = draw_maps(np.zeros((40, 60, 3), np.uint8), {"cat": np.zeros((2, 3), np.float32)})
    assert picture[60:, 240:].max() <= 3
