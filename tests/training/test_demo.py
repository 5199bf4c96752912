"""The demonstration model: its drawings, and a training cut down to seconds."""

from __future__ import annotations

from itertools import islice

import cv2
import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from training.demo import INPUT_PX, class_map, main, to_input, train_demo
from training.drawings import CLASSES, KINDS, draw, generate_drawings
from weakseg.models.demo import build_demo_net

HW = (120, 180)


def _polygon_area(curve):
    """The shoelace formula, in the units of the curve."""
    x, y = curve.T
    return abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2


def test_the_same_seed_draws_the_same_and_another_seed_does_not():
    first, second, other = (list(islice(generate_drawings(seed), 5)) for seed in (7, 7, 8))
    for one, two in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.rgb, two.rgb)
        np.testing.assert_array_equal(one.label_map, two.label_map)
    assert not np.array_equal(first[0].rgb, other[0].rgb)


def test_the_stream_has_wide_and_tall_pictures_of_one_and_of_two_objects():
    drawings = list(islice(generate_drawings(3), 40))
    assert {drawing.targets.sum() for drawing in drawings} == {1, 2}
    assert {np.sign(drawing.rgb.shape[0] - drawing.rgb.shape[1]) for drawing in drawings} == {-1, 1}
    assert sum(drawing.targets for drawing in drawings).min() > 0  # every class occurs


@pytest.mark.parametrize("name", CLASSES)
def test_the_mask_is_where_the_picture_differs_from_its_background(name):
    drawing = draw(np.random.default_rng(11), HW, [name])
    mask = drawing.label_map == 1 + CLASSES.index(name)
    differs = (drawing.rgb != drawing.background).any(axis=2)
    edge = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5))) != cv2.erode(mask.astype(np.uint8), np.ones((5, 5)))
    assert mask.shape == HW
    assert not differs[~mask & ~edge].any()
    assert differs[mask & ~edge].mean() > 0.97  # a pixel may have its background's colour by chance


@pytest.mark.parametrize("name", CLASSES)
def test_the_area_of_the_mask_is_that_of_its_outline(name):
    curves = KINDS[name].outline
    unit_area = _polygon_area(curves[0]) - sum(_polygon_area(hole) for hole in curves[1:])
    drawing = draw(np.random.default_rng(5), (240, 360), [name])
    area_px = np.count_nonzero(drawing.label_map)
    least, most = (0.28 * 240) ** 2 * 0.85, (0.46 * 240) ** 2  # radius squared, squeezed and not
    assert 0.96 * least * unit_area < area_px < 1.04 * most * unit_area


def test_two_objects_do_not_touch():
    drawing = draw(np.random.default_rng(2), HW, ["star", "ring"])
    assert set(np.unique(drawing.label_map)) == {0, 1 + CLASSES.index("star"), 1 + CLASSES.index("ring")}
    count, _ = cv2.connectedComponents((drawing.label_map > 0).astype(np.uint8))
    assert count == 3  # the background and two


def test_the_network_takes_any_size_and_torch_fx_traces_it():
    net = build_demo_net(6).eval()
    images = torch.randn(2, 3, 72, 100)
    traced = torch.fx.symbolic_trace(net)
    assert net.features(images).shape == (2, 64, 18, 25)
    torch.testing.assert_close(traced(images), net(images), rtol=0, atol=0)


def test_the_input_is_the_picture_stretched_to_a_square_in_minus_one_to_one():
    picture = np.zeros((40, 90, 3), np.uint8)
    picture[:, :, 0] = 255
    values = to_input(picture)
    assert values.shape == (3, INPUT_PX, INPUT_PX)
    assert values.mean(dim=(1, 2)).tolist() == [1, -1, -1]


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """A training of a few seconds, which must not touch the random state of its caller."""
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    result = train_demo(
        tmp_path_factory.mktemp("demo"), steps=90, pictures=500, held_out=60, seconds_limit=60, progress=False
    )
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.get_num_threads() == threads
    return result


def test_a_short_training_lowers_the_loss_and_beats_chance(short):
    assert short.steps == 90
    assert short.last_loss < short.first_loss - 0.1
    assert short.accuracy > 1.8 / len(CLASSES)


def test_the_checkpoint_is_plain_data_that_rebuilds_the_network(short):
    saved = torch.load(short.checkpoint, weights_only=True)
    net = build_demo_net(len(saved["classes"])).eval()
    net.load_state_dict(saved["state_dict"])
    drawing = next(generate_drawings(9))
    with torch.inference_mode():
        heat = class_map(net, drawing.rgb, 0)
    assert tuple(saved["classes"]) == CLASSES
    assert saved["metrics"]["accuracy"] == short.accuracy
    assert saved["seed"] == 0
    assert heat.shape == drawing.rgb.shape[:2]
    assert heat.min() >= 0
    assert heat.max() <= 1


def test_the_sample_is_a_picture_and_nothing_half_written_is_left(short):
    assert cv2.imread(str(short.sample)).shape == (384, 512, 3)
    assert sorted(path.name for path in short.checkpoint.parent.iterdir()) == ["demo.pth", "demo_sample.png"]


def test_the_time_limit_is_kept(tmp_path):
    result = train_demo(tmp_path, seconds_limit=2, held_out=12, progress=False)
    assert 0 < result.steps < 450, "it did not stop before its last step"


def test_the_same_seed_trains_the_same_network(tmp_path):
    states = []
    for name in ("one", "two"):
        result = train_demo(tmp_path / name, steps=3, pictures=40, held_out=6, seed=4, progress=False)
        states.append(torch.load(result.checkpoint, weights_only=True)["state_dict"])
    for key, value in states[0].items():
        torch.testing.assert_close(value, states[1][key], rtol=0, atol=0)


def test_the_command_explains_itself():
    app = typer.Typer()
    app.command()(main)
    answer = CliRunner().invoke(app, ["--help"])
    assert answer.exit_code == 0
    assert "--seconds-limit" in answer.output
