"""FCN: its stages, where its cells lie, its parameters."""

import pytest
import torch
import torchvision
from torch import Tensor, fx, nn
from torch.nn import functional as F

from tests.helpers.pixel_networks import build_lively, build_small
from weakseg.errors import ModelError
from weakseg.models.grid import Grid, find_grid_of
from weakseg.models.pixel.backbones import MobileNetBackbone, VggBackbone
from weakseg.models.pixel.registry import PIXEL_NETWORKS, build_pixel_network

CLASSIFIERS = ("vgg16", "mobilenet_v2")
VGG16_PARAMETERS, VGG16_HEAD = 138_357_544, 4096 * 1000 + 1000  # torchvision's documentation; its last layer


def sketch(name: str, outputs: int = 21) -> nn.Module:
    with torch.device("meta"):
        return build_pixel_network(name, outputs)


@pytest.mark.parametrize("classifier", CLASSIFIERS)
@pytest.mark.parametrize("stride", [16, 8])
def test_a_stage_takes_all_of_the_one_before_but_its_last_upsampling(classifier: str, stride: int) -> None:
    before, name = f"fcn{2 * stride}s_{classifier}", f"fcn{stride}s_{classifier}"
    network = PIXEL_NETWORKS[name]
    assert network.previous == before
    given = sketch(before).state_dict()
    adapted, own = network.adapt(given), sketch(name).state_dict()
    left_out = {*given} - {*adapted}
    assert left_out == {f"upscore{2 * stride}.deconvolution.weight"}
    assert {key: value.shape for key, value in adapted.items()}.items() <= {k: v.shape for k, v in own.items()}.items()
    assert {key.split(".")[0] for key in {*own} - {*adapted}} == {*network.added_by_stage}


@pytest.mark.parametrize("classifier", CLASSIFIERS)
@pytest.mark.parametrize("stride", [16, 8])
def test_a_stage_starts_with_the_answer_of_the_one_before(classifier: str, stride: int) -> None:
    """Upsampled twice, then `stride` times: what the zero scores of the skip are added to."""
    before, after = build_lively(f"fcn{2 * stride}s_{classifier}"), build_small(f"fcn{stride}s_{classifier}")
    adapted = PIXEL_NETWORKS[f"fcn{stride}s_{classifier}"].adapt(before.state_dict())
    after.load_state_dict(adapted, strict=False)
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        coarse = _scores(before, images)  # (2, O, 64 / (2 stride), 96 / (2 stride))
        expected = _interpolate(_interpolate(coarse, 2, classifier), stride, classifier)
        found = after(images)
    assert expected.std() > 0
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def _scores(network: nn.Module, images: Tensor) -> Tensor:
    """What the last upsampling reads."""
    read: list[Tensor] = []
    last = network.get_submodule(f"upscore{network.stride}")
    handle = last.register_forward_hook(lambda layer, inputs, written: read.append(inputs[0]))
    network(images)
    handle.remove()
    return read[0]


def _interpolate(cells: Tensor, factor: int, classifier: str) -> Tensor:
    """PyTorch's interpolation; MobileNetV2's cells lie on the first of their pixels."""
    if classifier == "vgg16":
        return F.interpolate(cells, scale_factor=factor, mode="bilinear")
    continued = F.pad(cells, (0, 1, 0, 1), mode="replicate")
    size = (cells.shape[2] * factor + 1, cells.shape[3] * factor + 1)
    return F.interpolate(continued, size=size, mode="bilinear", align_corners=True)[:, :, :-1, :-1]


@pytest.mark.parametrize(("backbone", "first"), [(VggBackbone, (3.5, 7.5, 15.5)), (MobileNetBackbone, (0, 0, 0))])
def test_cells_lie_where_upsampling_takes_them_to_be(backbone: type[nn.Module], first: tuple[float, ...]) -> None:
    with torch.device("meta"):
        traced = fx.symbolic_trace(backbone())
    taps = next(iter(reversed(traced.graph.nodes))).args[0]  # three nodes
    grids = [find_grid_of(tap, traced) for tap in taps]
    assert grids == [Grid((s, s), (f, f)) for s, f in zip((8.0, 16.0, 32.0), first, strict=True)]
    assert backbone.centred == (first[0] == 3.5)


def test_parameters_of_vgg16() -> None:
    """Score layer, and a kernel of 64 x 64 (32 x 32 and 4 x 4, ...) for each of 21 classes."""
    classifier, score = VGG16_PARAMETERS - VGG16_HEAD, 4096 * 21 + 21
    pool4, pool3 = 512 * 21 + 21, 256 * 21 + 21
    assert _count(sketch("fcn32s_vgg16")) == classifier + score + 21 * 64**2
    assert _count(sketch("fcn16s_vgg16")) == classifier + score + pool4 + 21 * (4**2 + 32**2)
    assert _count(sketch("fcn8s_vgg16")) == classifier + score + pool4 + pool3 + 21 * (4**2 + 4**2 + 16**2)


def test_parameters_of_mobilenet_v2() -> None:
    classifier = 3_504_872 - (1280 * 1000 + 1000)  # torchvision's documentation; its last layer
    assert _count(sketch("fcn8s_mobilenet_v2", 7)) == classifier + (1280 + 96 + 32 + 3) * 7 + 7 * (3**2 + 3**2 + 15**2)


def _count(network: nn.Module) -> int:
    return sum(value.numel() for value in network.parameters())


@pytest.mark.parametrize("classifier", CLASSIFIERS)
@pytest.mark.parametrize("stride", [32, 16, 8])
def test_the_classifier_s_weights_fit_all_but_the_added_layers(classifier: str, stride: int) -> None:
    network = PIXEL_NETWORKS[f"fcn{stride}s_{classifier}"]
    with torch.device("meta"):
        given = network.adapt(torchvision.models.get_model(classifier, weights=None).state_dict())
    own = sketch(f"fcn{stride}s_{classifier}").state_dict()
    assert all(given[name].shape == own[name].shape for name in given)
    assert {name.split(".")[0] for name in {*own} - {*given}} == {*network.added}


def test_fcn_scores_what_the_classifier_scores() -> None:
    """Same features: a cell of MobileNetV2's score map at 32 x 32 is its classifier without pooling."""
    torch.manual_seed(0)
    classifier = torchvision.models.mobilenet_v2(weights=None, num_classes=5).eval()
    network = build_pixel_network("fcn32s_mobilenet_v2", 5).eval()
    network.load_state_dict(PIXEL_NETWORKS["fcn32s_mobilenet_v2"].adapt(classifier.state_dict()), strict=False)
    head = classifier.classifier[1]
    with torch.no_grad():
        network.score.weight.copy_(head.weight[:, :, None, None])  # (O, 1280, 1, 1)
        images = torch.randn(2, 3, 32, 32)
        logits = classifier(images)  # (2, 5)
        torch.testing.assert_close(network(images), logits[:, :, None, None].expand(2, 5, 32, 32))


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_upsampling_stays_bilinear_where_asked(classifier: str) -> None:
    with torch.device("meta"):
        network = build_pixel_network(f"fcn8s_{classifier}", 3, {"learned_upsampling": False})
    frozen = {name for name, value in network.named_parameters() if not value.requires_grad}
    layers = ("upscore2", "upscore_pool4", "upscore8")
    assert frozen == {f"{layer}.deconvolution.weight" for layer in layers}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dropout": 1}, "dropout = 1: give"),
        ({"fc_channels": 0}, "fc_channels = 0: give"),
        ({"width": 0}, "width = 0: give"),
        ({"learned_upsampling": "no"}, "learned_upsampling = 'no': give true or false"),
    ],
)
def test_values_that_make_no_sense(options: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message), torch.device("meta"):
        build_pixel_network("fcn8s_vgg16", 3, options)
