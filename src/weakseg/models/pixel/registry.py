"""Pixel networks by name: how they are built, and what they can start from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import Tensor, nn

from weakseg.errors import ModelError, UnsupportedNetworkError
from weakseg.models.pixel import conv_deconv, deconvnet, deeplab, fcn, mirror, segnet

Adapt = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]


@dataclass(frozen=True)
class PixelNetwork:
    """A network with a logit for every pixel and class.

    Args:
        build: ``build(outputs, **options)``: the network with random weights. Every one of them turns (B, 3, h, w)
            float32, normalised, into logits (B, O, h, w), for any h and w from 16 on.
        ancestor: torchvision's network whose weights it can start from; None: there is none.
        adapt: The ancestor's state dict, or ``previous``'s, to own names; its own state dict comes back as it is.
        options: What ``build`` takes, and what it means.
        previous: The network of `PIXEL_NETWORKS` that it is trained from, with the same options.
        added: Layers (prefixes of parameter names) that the ancestor has not.
        added_by_stage: Layers that ``previous`` has not.
    """

    build: Callable[..., nn.Module]
    ancestor: str | None = None
    adapt: Adapt = dict
    options: Mapping[str, str] = field(default_factory=dict)
    previous: str | None = None
    added: tuple[str, ...] = ()
    added_by_stage: tuple[str, ...] = ()


def _fcn(stride: int, ancestor: str, build: Callable[..., nn.Module], options: Mapping[str, str]) -> PixelNetwork:
    return PixelNetwork(
        build=partial(build, stride=stride),
        ancestor=ancestor,
        adapt=partial(fcn.adapt_to_fcn, stride=stride),
        options=options,
        previous=None if stride == fcn.STAGES[0] else f"fcn{2 * stride}s_{ancestor}",
        added=fcn.added_to_classifier(stride),
        added_by_stage=fcn.added_by_stage(stride),
    )


PIXEL_NETWORKS: Mapping[str, PixelNetwork] = {
    **{f"fcn{s}s_vgg16": _fcn(s, "vgg16", fcn.build_fcn_vgg16, fcn.VGG_OPTIONS) for s in fcn.STAGES},
    **{
        f"fcn{s}s_mobilenet_v2": _fcn(s, "mobilenet_v2", fcn.build_fcn_mobilenet_v2, fcn.MOBILENET_OPTIONS)
        for s in fcn.STAGES
    },
    "segnet_vgg16": PixelNetwork(
        segnet.build_segnet_vgg16,
        ancestor=mirror.ANCESTOR,
        adapt=segnet.adapt_to_segnet,
        options=segnet.OPTIONS,
        added=segnet.ADDED,
    ),
    "deconvnet_vgg16": PixelNetwork(
        deconvnet.build_deconvnet_vgg16,
        ancestor=mirror.ANCESTOR,
        adapt=deconvnet.adapt_to_deconvnet,
        options=deconvnet.OPTIONS,
        added=deconvnet.ADDED,
    ),
    "deeplab_largefov_vgg16": PixelNetwork(
        deeplab.build_deeplab_largefov_vgg16,
        ancestor="vgg16",
        adapt=deeplab.adapt_to_deeplab,
        options=deeplab.OPTIONS,
        added=deeplab.ADDED,
    ),
    "conv_deconv": PixelNetwork(conv_deconv.build_conv_deconv, options=conv_deconv.OPTIONS),
}


def build_pixel_network(name: str, outputs: int, options: Mapping[str, Any] | None = None) -> nn.Module:
    """A pixel network with random weights.

    Args:
        name: One of `PIXEL_NETWORKS`.
        outputs: O = C + 1; channel 0 is the background.
        options: Of this network; what is not given has the network's own default.
    Raises:
        UnsupportedNetworkError: no network of this name.
        ModelError: it has no such option, or not with this value; outputs is below 2.
    """
    network = find_pixel_network(name)
    given = dict(options or {})
    strange = [option for option in given if option not in network.options]
    if strange:
        allowed = ", ".join(network.options) or "none"
        raise ModelError(f"{name} has no option {strange[0]!r} (= {given[strange[0]]!r}). Options: {allowed}.")
    if outputs < 2:
        raise ModelError(f"outputs = {outputs}: give the background and at least one class.")
    return network.build(outputs, **given)


def find_pixel_network(name: str) -> PixelNetwork:
    """Raises: UnsupportedNetworkError: no network of this name."""
    if name not in PIXEL_NETWORKS:
        raise UnsupportedNetworkError(f"There is no pixel network {name!r}. Names: {', '.join(PIXEL_NETWORKS)}.")
    return PIXEL_NETWORKS[name]
