"""Splitting classifiers: the two halves give the whole's logits, and what cannot be split says why."""

import pytest
import torch
from torch import Tensor, nn

from tests.helpers.tiny_networks import RedGreenNet
from weakseg.errors import UnsupportedNetworkError
from weakseg.models.classifier import build_network
from weakseg.models.split import SplitNetwork, rectified_class_maps, split_network

SUPPORTED = (
    "squeezenet1_0", "squeezenet1_1", "resnet18", "resnet50", "mobilenet_v2", "densenet121", "googlenet",
    "shufflenet_v2_x0_5", "efficientnet_b0", "regnet_y_400mf", "mnasnet0_5", "inception_v3", "demo",
)  # fmt: skip
CLASSES = 5


def unnormalised_cam(split: SplitNetwork, features: Tensor) -> Tensor:
    """(B, C, h', w') with the bias, by the definition."""
    if split.rectified:
        return rectified_class_maps(features, split.weight, split.bias)
    return torch.einsum("cf,bfhw->bchw", split.weight, features) + split.bias[:, None, None]


@pytest.mark.parametrize("network", SUPPORTED)
def test_halves_give_the_logits_of_the_whole_and_the_mean_of_a_map_is_its_logit(network: str) -> None:
    torch.manual_seed(0)
    model = build_network(network, CLASSES).eval()
    split = split_network(model, network)
    images = torch.randn(2, 3, 97, 131)
    with torch.no_grad():
        expected = model(images)
        features = split.features(images)
        assert split.weight.shape == (CLASSES, features.shape[1])
        torch.testing.assert_close(split.logits(features), expected, atol=1e-5, rtol=1e-4)
        cam_means = unnormalised_cam(split, features).mean((2, 3))  # (B, C)
    torch.testing.assert_close(cam_means, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("network", ["squeezenet1_0", "squeezenet1_1"])
def test_squeezenet_has_its_relu_before_the_pooling(network: str) -> None:
    assert split_network(build_network(network, CLASSES), network).rectified


def test_transformed_input_of_googlenet_is_part_of_the_features() -> None:
    model = build_network("googlenet", CLASSES).eval()
    model.transform_input = True
    split, images = split_network(model, "googlenet"), torch.randn(1, 3, 97, 131)
    with torch.no_grad():
        torch.testing.assert_close(split.logits(split.features(images)), model(images), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("network", "obstacle"),
    [
        ("alexnet", r"'classifier.5' \(ReLU\) comes right before the last linear layer 'classifier.6'"),
        ("mobilenet_v3_small", r"'classifier.1' \(Hardswish\)"),
        ("convnext_tiny", r"'classifier.0' \(LayerNorm2d\)"),
        ("vit_b_16", "'heads.head'"),
    ],
)
def test_unsupported_networks_name_the_obstacle_and_the_remedy(network: str, obstacle: str) -> None:
    with pytest.raises(UnsupportedNetworkError, match=rf"{network}: .*{obstacle}.*replace the classifier part"):
        split_network(build_network(network, CLASSES), network)


class Branching(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images if images.sum() > 0 else -images


class FixedPooling(RedGreenNet):
    def forward(self, images: Tensor) -> Tensor:
        return self.head(torch.flatten(nn.functional.avg_pool2d(self.features(images), 7), 1))


class TwoAnswers(RedGreenNet):
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        logits = super().forward(images)
        return logits, logits


class RectifiedTwice(RedGreenNet):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images).relu()


class FirstPixelOnly(RedGreenNet):
    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images)[:, :, 0, 0])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Branching(), "cannot be traced by torch.fx"),
        (FixedPooling(), "'avg_pool2d' comes right before"),
        (TwoAnswers(), "answers tuple, not one tensor"),
        (RectifiedTwice(), "'relu' comes after the last linear layer"),
        (FirstPixelOnly(), "'getitem' comes right before"),
    ],
)
def test_other_endings_are_refused(model: nn.Module, message: str) -> None:
    with pytest.raises(UnsupportedNetworkError, match=message):
        split_network(model, "mine")


def test_halves_that_differ_from_the_whole_are_refused() -> None:
    class AlwaysDropping(RedGreenNet):
        def forward(self, images: Tensor) -> Tensor:
            pooled = self.features(images).mean((2, 3))
            return self.head(nn.functional.dropout(pooled, 0.5, training=True))  # passes for a dropout that is off

    with pytest.raises(UnsupportedNetworkError, match="give logits that differ by"):
        split_network(AlwaysDropping(), "mine")
