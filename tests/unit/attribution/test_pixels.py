"""Class probabilities as a graph, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.helpers.pixel_checkpoints import OddsNet, StridedNet
from tests.helpers.queries import as_tensors, ask
from weakseg.attribution.pixels import PixelGraph, PixelSettings, average_windows
from weakseg.errors import ModelError
from weakseg.labels import Vocabulary

COLOURS = Vocabulary(["red", "green"], {"either": [0, 1]})
RED, GREEN, EITHER = range(3)
# red, green, black; yellow, black, red
PHOTO = torch.tensor(
    [[[255, 0, 0], [0, 255, 0], [0, 0, 0]], [[255, 255, 0], [0, 0, 0], [255, 0, 0]]], dtype=torch.uint8
)
RED_MAP = [[0.6, 0.125, 1 / 3], [0.3, 1 / 3, 0.6]]
GREEN_MAP = [[0.2, 0.75, 1 / 3], [0.6, 1 / 3, 0.2]]
EITHER_MAP = [[0.8, 0.875, 2 / 3], [0.9, 2 / 3, 0.8]]


def build(network: nn.Module, vocabulary: Vocabulary = COLOURS, **settings: object) -> PixelGraph:
    mean_std = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    return PixelGraph(network, "odds", vocabulary, settings=PixelSettings(**settings), **mean_std)  # type: ignore[arg-type]


def run(graph: PixelGraph, images: Tensor, labels: list[list[int]], vocabulary: Vocabulary = COLOURS) -> list[Tensor]:
    with torch.inference_mode():
        return list(graph(images, *as_tensors(ask(labels, vocabulary))))


def test_maps_are_probabilities_and_those_of_a_group_their_sum() -> None:
    _, maps, chosen = run(build(OddsNet()), PHOTO[None], [[EITHER, GREEN, RED]])
    assert chosen.tolist() == [[EITHER, GREEN, RED]]
    assert maps.shape == (1, 3, 2, 3)
    torch.testing.assert_close(maps[0], torch.tensor([EITHER_MAP, GREEN_MAP, RED_MAP]), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("window_px", "scores"),
    [
        (1, [0.6, 0.75, 0.9]),  # the highest value
        (3, [2.75 / 7.2, 2.26 / 4.8, 3.89 / 4.8]),  # red: the mean of all; green and either: of the left four pixels
        (9, [2.75 / 7.2, 2.9 / 7.2, 5.65 / 7.2]),  # larger than the photo: the mean of all
    ],
)
def test_a_score_is_the_highest_mean_over_a_window(window_px: int, scores: list[float]) -> None:
    found, _, _ = run(build(OddsNet(), window_px=window_px), PHOTO[None], [[RED]])
    assert found[0].tolist() == pytest.approx(scores, abs=1e-6)


def test_ranks_are_resolved_photo_by_photo() -> None:
    without_green = PHOTO * torch.tensor([1, 0, 0], dtype=torch.uint8)  # red, black, black; red, black, red
    plain = Vocabulary(["red", "green"])
    photos = torch.stack([PHOTO, without_green])
    scores, maps, chosen = run(build(OddsNet(), plain, window_px=1), photos, [[-1, -2, -9], [-2, RED, -1]], plain)
    assert chosen.tolist() == [[GREEN, RED, RED], [GREEN, RED, RED]]
    torch.testing.assert_close(scores, torch.tensor([[0.6, 0.75], [0.6, 1 / 3]]), rtol=0, atol=1e-6)
    torch.testing.assert_close(maps[0, 0], torch.tensor(GREEN_MAP), rtol=0, atol=1e-6)
    reds = torch.tensor([[0.6, 1 / 3, 1 / 3], [0.6, 1 / 3, 0.6]])
    torch.testing.assert_close(maps[1, 2], reds, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("pixels", "counts"), [(40, False), (41, True)])
def test_specks_do_not_count_as_objects(pixels: int, counts: bool) -> None:
    class Certain(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.cat([torch.zeros_like(images[:, :1]), 60 * images[:, :1] - 30], 1)

    photo = torch.zeros(1, 30, 40, 3, dtype=torch.uint8)
    line = photo[0, 10:19, 15:24, 0].reshape(81).clone()
    line[:pixels] = 255
    photo[0, 10:19, 15:24, 0] = line.reshape(9, 9)  # (9, 9): inside one window
    plain = Vocabulary(["white"])
    scores, _, _ = run(build(Certain(), plain), photo, [[0]], plain)
    assert scores.item() == pytest.approx(pixels / 81, abs=1e-6)
    assert (scores.item() > 0.5) is counts


def test_a_mirrored_view_is_averaged_where_it_belongs() -> None:
    class LeftNeighbour(OddsNet):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(nn.functional.pad(images, (1, 0))[..., :-1])

    _, plain, _ = run(build(LeftNeighbour()), PHOTO[None], [[RED]])
    _, both, _ = run(build(LeftNeighbour(), flip=True), PHOTO[None], [[RED]])
    shifted = torch.tensor([[1 / 3, 0.6, 0.125], [1 / 3, 0.3, 1 / 3]])
    torch.testing.assert_close(plain[0, 0], shifted, rtol=0, atol=1e-6)
    right = torch.tensor([[0.125, 1 / 3, 1 / 3], [1 / 3, 0.6, 1 / 3]])
    torch.testing.assert_close(both[0, 0], (shifted + right) / 2, rtol=0, atol=1e-6)


def test_the_most_probable_label_and_the_rest_are_what_the_network_says() -> None:
    torch.manual_seed(0)
    network = StridedNet(5).eval()
    plain = Vocabulary(["a", "b", "c", "d"])
    photos = torch.randint(0, 256, (3, 29, 42, 3), dtype=torch.uint8)
    _, maps, _ = run(build(network, plain), photos, [[0, 1, 2, 3]] * 3, plain)
    rest = 1 - maps.sum(1, keepdim=True)  # (B, 1, h, w)
    with torch.inference_mode():
        expected = network(photos.permute(0, 3, 1, 2) / 255).argmax(1)  # (B, h, w)
    assert torch.equal(torch.cat([rest, maps], 1).argmax(1), expected)
    assert expected.unique().numel() > 2


def test_means_over_windows_are_those_of_numpy() -> None:
    maps = np.random.default_rng(0).random((2, 3, 11, 7)).astype(np.float32)
    expected = np.empty_like(maps)
    for row in range(11):
        for column in range(7):
            window = maps[:, :, max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3]
            expected[:, :, row, column] = window.mean((2, 3))
    found = average_windows(torch.from_numpy(maps), 5)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_a_graph_jumps_where_a_part_of_its_network_does() -> None:
    network = nn.Sequential(OddsNet())
    assert not build(network).jumps
    network[0].jumps = True
    assert build(network).jumps


def test_other_numbers_of_classes_are_refused() -> None:
    with pytest.raises(ModelError, match="odds has 2 classes, not the 3 that are named"):
        build(OddsNet(), Vocabulary(["a", "b", "c"]))


@pytest.mark.parametrize("window_px", [0, 8, 35])
def test_wrong_windows_are_refused(window_px: int) -> None:
    with pytest.raises(ModelError, match=f"window_px = {window_px}: give an odd number from 1 to 33"):
        PixelSettings(window_px=window_px)
