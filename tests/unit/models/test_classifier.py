"""Loading classifiers: ImageNet weights, checkpoints, class names, and what goes wrong with each."""

import hashlib
import json
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision

from weakseg.errors import ModelError, UnsupportedNetworkError, WeightsUnavailableError
from weakseg.models.classifier import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    _find_head,
    build_network,
    load_classifier,
    read_class_names,
    read_state_dict,
)

CLASSES = 4


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "best.pth"
    torch.save(build_network("squeezenet1_1", CLASSES).state_dict(), path)
    return path


def saved(content: object, folder: Path) -> Path:
    path = folder / "other.pth"
    torch.save(content, path)
    return path


def test_a_checkpoint_says_its_number_of_classes(checkpoint: Path) -> None:
    loaded = load_classifier("squeezenet1_1", checkpoint)
    assert loaded.split.class_count == CLASSES
    assert loaded.classes == ("class 0", "class 1", "class 2", "class 3")
    state = torch.load(checkpoint, weights_only=True)
    assert torch.equal(loaded.split.weight, state["classifier.1.weight"].flatten(1))
    assert loaded.weights.sha256 == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert not loaded.weights.demonstration


@pytest.mark.parametrize("wrapper", ["state_dict", "model"])
def test_checkpoints_are_unwrapped(checkpoint: Path, tmp_path: Path, wrapper: str) -> None:
    state = torch.load(checkpoint, weights_only=True)
    parallel = {f"module.{name}": value for name, value in state.items()}
    loaded = load_classifier("squeezenet1_1", saved({"epoch": 3, wrapper: parallel}, tmp_path))
    assert torch.equal(loaded.split.weight, state["classifier.1.weight"].flatten(1))


def test_a_checkpoint_of_the_demo_network_is_marked_as_a_demonstration(tmp_path: Path) -> None:
    loaded = load_classifier("demo", saved(build_network("demo", CLASSES).state_dict(), tmp_path))
    assert loaded.weights.demonstration
    assert "not for real photos" in loaded.weights.source
    assert loaded.normalisation.mean == (0.5, 0.5, 0.5)
    assert loaded.normalisation.hw == (64, 64)


def test_given_names_normalisation_and_licence_are_taken(checkpoint: Path, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("cat\ndog\nhorse\nsheep\n", encoding="utf-8")
    half = (0.5, 0.5, 0.5)
    loaded = load_classifier("squeezenet1_1", checkpoint, classes=names, mean=half, std=half, licence="MIT")
    assert loaded.classes == ("cat", "dog", "horse", "sheep")
    assert (loaded.normalisation.mean, loaded.normalisation.std) == (half, half)
    assert loaded.weights.licence == "MIT"


def test_auxiliary_heads_may_be_missing_because_no_prediction_uses_them(tmp_path: Path) -> None:
    state = build_network("googlenet", CLASSES).state_dict()
    without = {name: value for name, value in state.items() if not name.startswith("aux")}
    assert len(without) < len(state)
    half = (0.5, 0.5, 0.5)
    loaded = load_classifier("googlenet", saved(without, tmp_path), mean=half, std=half)
    assert loaded.split.class_count == CLASSES


@pytest.mark.parametrize("given", [{}, {"mean": (0.5, 0.5, 0.5)}, {"std": (0.5, 0.5, 0.5)}])
@pytest.mark.parametrize("network", ["googlenet", "inception_v3"])
def test_a_checkpoint_that_hides_its_input_normalisation_needs_mean_and_std(
    network: str, given: dict[str, tuple[float, float, float]], tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=r"--mean 0\.5 --std 0\.5 if it was fine-tuned .* otherwise those"):
        load_classifier(network, tmp_path / "best.pth", **given)


def test_half_and_half_is_what_transform_input_makes_of_imagenets_normalisation(tmp_path: Path) -> None:
    torch.manual_seed(0)
    trained = build_network("googlenet", CLASSES).eval()
    trained.transform_input = True
    half, images = (0.5, 0.5, 0.5), torch.rand(1, 3, 97, 131)
    loaded = load_classifier("googlenet", saved(trained.state_dict(), tmp_path), mean=half, std=half)
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.no_grad():
        found = loaded.split.logits(loaded.split.features((images - 0.5) / 0.5))
        torch.testing.assert_close(found, trained((images - mean) / std), atol=1e-5, rtol=1e-4)


def test_a_missing_an_unknown_and_a_misshapen_entry_are_named(checkpoint: Path, tmp_path: Path) -> None:
    state = torch.load(checkpoint, weights_only=True)
    first = "features.0.weight"
    missing = {name: value for name, value in state.items() if name != first}
    with pytest.raises(ModelError, match=f"'{first}' is missing"):
        load_classifier("squeezenet1_1", saved(missing, tmp_path))
    with pytest.raises(ModelError, match=r"has 'extra\.weight', which the network has not"):
        load_classifier("squeezenet1_1", saved({**state, "extra.weight": torch.zeros(1)}, tmp_path))
    with pytest.raises(ModelError, match=rf"'{first}' is \(1,\), not \(64, 3, 3, 3\)"):
        load_classifier("squeezenet1_1", saved({**state, first: torch.zeros(1)}, tmp_path))


def test_a_checkpoint_of_another_network_is_refused(checkpoint: Path) -> None:
    with pytest.raises(ModelError, match=r"is not a checkpoint of resnet18: it has no fc\.weight"):
        load_classifier("resnet18", checkpoint)


class Harmful:
    def __reduce__(self) -> tuple[object, ...]:
        return (print, ("code from a checkpoint ran",))


def test_checkpoints_with_code_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModelError, match="cannot be read as a state dict"):
        read_state_dict(saved({"state_dict": Harmful()}, tmp_path))
    assert "ran" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [{}, [1, 2], {"lr": 0.1}])
def test_files_without_tensors_are_refused(content: object, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="state dict"):
        read_state_dict(saved(content, tmp_path))


@pytest.mark.parametrize("data", [b"", b"not a checkpoint", b"PK\x03\x04 truncated"])
def test_broken_checkpoints_are_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.pth"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=r"broken\.pth cannot be read"):
        read_state_dict(path)


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere\.pth cannot be read"):
        read_state_dict(tmp_path / "nowhere.pth")


@pytest.mark.parametrize(
    ("file_name", "text"),
    [
        ("names.txt", "cat\nguinea pig\n\n"),
        ("names.json", json.dumps(["cat", "guinea pig"])),
        ("names.json", json.dumps({"1": "guinea pig", "0": "cat"})),
        ("names.json", json.dumps({"0": ["n02123045", "cat"], "1": ["n02364673", "guinea pig"]})),
    ],
)
def test_class_names_from_text_and_json(tmp_path: Path, file_name: str, text: str) -> None:
    (tmp_path / file_name).write_text(text, encoding="utf-8")
    assert read_class_names(tmp_path / file_name) == ("cat", "guinea pig")


@pytest.mark.parametrize(
    ("file_name", "text", "message"),
    [
        ("names.txt", "cat\n\ndog\n", "class name 2 is empty"),
        ("names.txt", "", "class name 1 is empty"),
        ("names.json", '{"0": "cat", "2": "dog"}', "cannot be read"),
        ("names.json", '["cat"', "cannot be read"),
        ("names.json", "3", "no list of class names"),
    ],
)
def test_wrong_class_files_are_refused(tmp_path: Path, file_name: str, text: str, message: str) -> None:
    (tmp_path / file_name).write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=message):
        read_class_names(tmp_path / file_name)


def test_class_names_must_be_as_many_as_classes(checkpoint: Path, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("cat\ndog", encoding="utf-8")
    with pytest.raises(ModelError, match="has 2 class names; squeezenet1_1 with these weights has 4 classes"):
        load_classifier("squeezenet1_1", checkpoint, classes=names)


@pytest.mark.parametrize("weights", ["imagenet", "random"])
def test_unknown_networks_are_refused(weights: str) -> None:
    with pytest.raises(UnsupportedNetworkError, match="squeezenet9"):
        load_classifier("squeezenet9", weights)


@pytest.mark.parametrize("network", ["fcn_resnet50", "fasterrcnn_resnet50_fpn"])
def test_networks_that_are_no_classifiers_are_refused(network: str) -> None:
    with pytest.raises(UnsupportedNetworkError, match="no classifier"):
        load_classifier(network, "random")


def test_without_a_network_the_weights_are_unavailable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def unreachable(*args: object, **kwargs: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    with pytest.raises(WeightsUnavailableError, match=r"SqueezeNet1_1_Weights\.IMAGENET1K_V1 .*TORCH_HOME"):
        load_classifier("squeezenet1_1", "imagenet")


def test_imagenet_weights_bring_names_and_preprocessing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1.__class__,
        "get_state_dict",
        lambda self, **_: torchvision.models.squeezenet1_1(weights=None).state_dict(),
    )
    monkeypatch.setattr("weakseg.models.classifier.hash_file", lambda path: path.stem.rpartition("-")[2] + "00")
    loaded = load_classifier("squeezenet1_1", "imagenet")
    assert loaded.classes[151] == "Chihuahua"
    assert loaded.normalisation.mean == (0.485, 0.456, 0.406)
    assert loaded.normalisation.hw == (224, 224)
    assert loaded.weights.sha256 == "b8a52dc000"
    assert loaded.weights.source.startswith("torchvision SqueezeNet1_1_Weights.IMAGENET1K_V1")
    assert "local file" not in loaded.weights.source


@pytest.mark.weights
def test_real_squeezenet_says_so_when_its_hash_is_not_the_published_one() -> None:
    try:
        loaded = load_classifier("squeezenet1_1", "imagenet")
    except WeightsUnavailableError as error:
        pytest.skip(str(error))
    assert loaded.weights.sha256.startswith("b8a52dc0") != ("not the published b8a52dc0" in loaded.weights.source)


@pytest.fixture
def cached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where torchvision looks for SqueezeNet's weights before it downloads them."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub" / "checkpoints" / "squeezenet1_1-b8a52dc0.pth"
    path.parent.mkdir(parents=True)
    return path


@pytest.mark.parametrize("data", [b"", b"not weights", b"PK\x03\x04 truncated", b"<html>404</html>", None])
def test_damaged_cached_weights_are_named_and_are_not_unavailable(cached: Path, data: bytes | None) -> None:
    if data is None:
        torch.save(build_network("squeezenet1_1", 1000).state_dict(), cached)
        data = cached.read_bytes()[:100_000]
    cached.write_bytes(data)
    with pytest.raises(ModelError, match=r"b8a52dc0\.pth is damaged.*Delete it and start again") as caught:
        load_classifier("squeezenet1_1", "imagenet")
    assert not isinstance(caught.value, WeightsUnavailableError)


def test_cached_weights_that_are_not_the_published_ones_are_doubted(cached: Path) -> None:
    torch.save(build_network("squeezenet1_1", 1000).state_dict(), cached)
    sha256 = hashlib.sha256(cached.read_bytes()).hexdigest()
    loaded = load_classifier("squeezenet1_1", "imagenet")
    assert loaded.doubt.startswith(f"{cached} is not byte for byte the published file (SHA-256 {sha256[:8]}...")
    assert "not the published b8a52dc0" in loaded.weights.source


def test_unavailable_weights_name_the_file_that_is_missing(cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: object, **kwargs: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    with pytest.raises(WeightsUnavailableError) as caught:
        load_classifier("squeezenet1_1", "imagenet")
    assert f"neither at {cached} nor" in str(caught.value)


def test_a_whole_model_is_told_from_a_damaged_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds a whole model") as caught:
        read_state_dict(saved(build_network("squeezenet1_1", 2), tmp_path))
    assert "weights_only" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("network", "head"),
    [
        ("alexnet", "classifier.6.weight"),
        ("vgg16", "classifier.6.weight"),
        ("googlenet", "fc.weight"),
        ("densenet121", "classifier.weight"),
        ("convnext_tiny", "classifier.2.weight"),
        ("demo", "classifier.weight"),
    ],
)
def test_the_head_is_the_weight_that_grows_with_the_classes(network: str, head: str) -> None:
    assert _find_head(network) == head


def test_a_classifier_without_global_pooling_loads_and_is_refused_where_it_must_be_cut() -> None:
    loaded = load_classifier("alexnet", "random", num_classes=3)
    assert loaded.classes == ("class 0", "class 1", "class 2")
    assert not loaded.model.training
    with pytest.raises(UnsupportedNetworkError, match="global average pooling"):
        _ = loaded.split
