"""Pictures of class maps, on networks and maps that are known by hand."""

from __future__ import annotations

import numpy as np
import torch

from tests.helpers.tiny_networks import HEAD_WEIGHT, RedGreenNet
from training.samples import HEIGHT_PX, class_maps, draw_maps, stack
from weakseg.models.classifier import build_network


def test_class_maps_are_the_head_applied_to_every_position_at_an_eighth_of_the_size() -> None:
    images = torch.rand(2, 3, 96, 128)
    expected = torch.einsum("cf,nfhw->nchw", torch.tensor(HEAD_WEIGHT), images[:, :2])
    small = torch.nn.functional.interpolate(expected, (12, 16), mode="bilinear")
    torch.testing.assert_close(class_maps(RedGreenNet(), images), small)


def test_maps_lie_where_their_cells_do() -> None:
    """Cells are centred at pixels 0, 32, 64 ...: the third one is not in the middle of the third part."""
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 1, 3, stride=32, padding=1, bias=False),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(1, 2),
    )
    with torch.no_grad():
        network[0].weight.fill_(1)
        network[3].weight.fill_(1)
    images = torch.zeros(1, 3, 96, 160)
    images[..., 32, 64] = 1
    maps = class_maps(network, images)
    assert maps.shape == (1, 2, 12, 20)
    peaks = (maps[0, 0] > maps.max() - 1e-6).nonzero()  # parts of 8 pixels: 3.5 to 4.5 is pixel 32, 7.5 to 8.5 pixel 64
    assert {*peaks[:, 0].tolist()} <= {3, 4}
    assert {*peaks[:, 1].tolist()} <= {7, 8}


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
