"""The whole way on drawn photos, whose colours a hand-made classifier tells apart."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.training.zoomout.drawn_voc import write_drawn_voc
from training.zoomout import stages
from training.zoomout.measure import KNOWN, PREDICTED
from training.zoomout.observer import Observer, find_members
from training.zoomout.run import Order, run
from training.zoomout.stages import Recipe, keep, pick_training, tags_of
from weakseg.card import Preprocessing, Weights
from weakseg.errors import ModelError
from weakseg.evaluation.voc import read_split
from weakseg.models.classifier import Classifier, Normalisation
from weakseg.preprocess import prepare

RECIPE = Recipe(
    "colours", "none", classes=("cat", "dog"), side_px=96, input_px=64, superpixels=40, photos_per_class=6, rounds=2
)


class ColourNet(nn.Module):
    """Redness, greenness, blueness and brightness; seen once more at a coarser resolution; cat is red, dog green."""

    def __init__(self) -> None:
        super().__init__()
        self.colours = nn.Conv2d(3, 4, 1, bias=False)
        self.pool = nn.AvgPool2d(4)
        self.head = nn.Conv2d(4, 2, 1, bias=False)
        colours = torch.tensor([[1.0, -1, 0], [-1, 1, 0], [-1, 0, 1], [1, 1, 1]])  # (4, 3)
        with torch.no_grad():
            self.colours.weight.copy_(colours[:, :, None, None])
            self.head.weight.copy_(torch.eye(2, 4)[:, :, None, None])

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.pool(torch.relu(self.colours(images)))).mean((2, 3))


@pytest.fixture
def classifier() -> Classifier:
    weights = Weights(source="made by a test", licence="none", sha256="none")
    return Classifier("colours", ColourNet().eval(), ("cat", "dog"), Normalisation((0, 0, 0), (1, 1, 1)), weights)


@pytest.fixture
def order(tmp_path: Path) -> Order:
    voc = write_drawn_voc(tmp_path / "data")
    return Order(voc, tmp_path / "out", "python -m training.zoomout", choose_on="choice", report_on=("val",))


def test_drawn_animals_are_found(order: Order, classifier: Classifier) -> None:
    results = run(order, classifier, RECIPE)
    methods = results["splits"]["val"]["methods"]
    assert list(methods) == [
        *("ZOF (forward only)", "ZOF (forward only) + CRF"),
        *("GBP (backward only)", "GBP (backward only) + CRF"),
        *("ZOF with GBP", "ZOF with GBP + CRF"),
    ]
    for title in ("ZOF (forward only)", "ZOF with GBP"):
        assert methods[title][KNOWN]["miou"] > 0.8, title
        assert methods[title][PREDICTED]["miou"] > 0.8, title
    assert results["training"]["photos"] == 12
    assert results["splits"]["val"]["images"] == 6


def test_the_report(order: Order, classifier: Classifier) -> None:
    results = run(order, classifier, RECIPE)
    assert json.loads((order.out / "results.json").read_text()) == json.loads(json.dumps(results))
    page = (order.out / "results.md").read_text()
    assert "| ZOF with GBP (slides) | – | – | 37.7 |" in page
    assert "12 photos of train with image labels alone" in page
    assert "| Method | map | threshold | CRF confidence |" in page


def test_a_second_run_computes_nothing_again(
    order: Order, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(order, classifier, RECIPE)
    monkeypatch.setattr(Observer, "run", lambda *_: pytest.fail("the network runs again"))
    monkeypatch.setattr(stages, "train_mi_svm", lambda *_, **__: pytest.fail("the SVM is trained again"))
    assert run(order, classifier, RECIPE) == first


def count_caches(order: Order) -> int:
    return len(list((order.out / "cache").iterdir()))


def test_another_recipe_has_its_own_cache(order: Order, classifier: Classifier) -> None:
    run(order, classifier, RECIPE)
    run(order, classifier, replace(RECIPE, seed=1))
    assert count_caches(order) == 2


def test_a_changed_training_photo_has_its_own_cache(order: Order, classifier: Classifier) -> None:
    run(order, classifier, RECIPE)
    photo = read_split(order.voc, "train")[0].photo
    photo.write_bytes(read_split(order.voc, "train")[1].photo.read_bytes())
    run(order, classifier, RECIPE)
    assert count_caches(order) == 2


def test_changed_code_has_its_own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "_CODE", tmp_path)
    names = []
    for file, text in (("observer.py", "old"), ("observer.py", "new"), ("tables.py", "reports alone")):
        (tmp_path / file).write_text(text)
        names.append(stages._name_cache(RECIPE, []))
    assert names[0] != names[1]
    assert names[1] == names[2]


def test_a_changed_photo_is_looked_at_again(
    order: Order, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(order, classifier, RECIPE)
    first, second, *_ = read_split(order.voc, "val")
    first.photo.write_bytes(second.photo.read_bytes())
    looks = []
    see = Observer.run
    monkeypatch.setattr(Observer, "run", lambda *given: looks.append(1) or see(*given))
    run(order, classifier, RECIPE)
    assert len(looks) == 1


def test_photos_that_are_measured_train_nothing(order: Order) -> None:
    train = read_split(order.voc, "train")
    picked = pick_training(train, {"train00", "train02"}, ("cat", "dog"), 3, seed=0)
    names = [next(iter(tags_of(sample))) for sample in picked]
    assert names.count("cat") == names.count("dog") == 3
    assert not {"train00", "train02"} & {sample.image_id for sample in picked}


def test_photos_are_prepared_as_they_are_served(classifier: Classifier) -> None:
    """A photo lower than the network's input: growing is bilinear."""
    rgb = np.random.default_rng(0).integers(0, 256, (30, 90, 3), np.uint8)
    prepared, _ = prepare(rgb, Preprocessing(height=64, width=64, mean=(0, 0, 0), std=(1, 1, 1)))
    expected = classifier.model(torch.from_numpy(prepared).permute(2, 0, 1)[None] / 255)  # (1, 2)
    found = Observer(classifier, input_px=64, superpixels=40).run(rgb).output
    torch.testing.assert_close(found, expected)


def test_guided_maps_by_hand(classifier: Classifier) -> None:
    observer = Observer(classifier, input_px=64, superpixels=40)
    rgb = np.full((60, 90, 3), 100, np.uint8)
    rgb[15:45, 60:90] = (200, 0, 0)
    cats, dogs = observer.guide(observer.run(rgb), ("cat", "dog"))  # at the pooled layer: 16 x 16 cells
    # The logit is the mean of redness over the cells: every cell's gradient is 1 / 256.
    np.testing.assert_allclose([cats, dogs], np.full((2, 16, 16), 1 / 256), rtol=1e-6)


def test_members_of_a_class() -> None:
    assert find_members(("dog", "cat"), "cat") == [1]
    assert find_members(tuple(map(str, range(1000))), "sheep") == [348, 349]
    with pytest.raises(ModelError, match="no class 'cow'"):
        find_members(("cat", "dog"), "cow")


def test_arrays_are_made_once_and_never_half_written(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.npz"
    calls = []

    def make() -> dict[str, np.ndarray]:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("killed")
        return {"value": np.arange(3)}

    with pytest.raises(RuntimeError):
        keep(path, make)
    assert not path.exists()
    for _ in range(2):
        assert keep(path, make)["value"].tolist() == [0, 1, 2]
    assert len(calls) == 2
