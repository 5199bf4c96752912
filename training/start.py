"""The network that a training starts from: built, filled with initial weights, parts of it frozen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn

from training.recipe import Recipe, RecipeError, Rgb
from weakseg.errors import ModelError, WeightsUnavailableError
from weakseg.models.checkpoint import read_metadata
from weakseg.models.classifier import IMAGENET_MEAN, IMAGENET_STD, build_network
from weakseg.models.own import OWN_NETWORKS, OwnNetwork
from weakseg.models.pixel.registry import PIXEL_NETWORKS, build_pixel_network
from weakseg.models.state import hash_file, read_state_dict


@dataclass(frozen=True)
class Start:
    """A network, ready to be trained."""

    network: nn.Module
    new: frozenset[str]  # parameters that the initial weights do not have: the head, and what else was added
    mean: Rgb
    std: Rgb
    weights: str  # where it starts from, in words


def build_start(recipe: Recipe, classes: Sequence[str]) -> Start:
    """Build the recipe's network. The same seed gives the same random weights; the caller's random state stays.

    The head starts anew, unless ``init`` is a checkpoint that says it has these classes in this order.

    Raises:
        UnsupportedNetworkError, WeightsUnavailableError, ModelError: see `weakseg.models.classifier.load_classifier`.
        RecipeError: ``freeze`` names no layer; folded weights, and ``batch_norm`` does not keep their statistics.
    """
    blueprint = _find_blueprint(recipe)
    outputs = len(classes) + 1 if recipe.learns_masks else len(classes)  # with the background
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = blueprint.build(outputs)
    head = find_head(blueprint.build)
    mean, std, weights = IMAGENET_MEAN, IMAGENET_STD, "random numbers"
    if recipe.init == "imagenet":
        state, mean, std, weights = _read_imagenet(blueprint)
        if hasattr(network, "transform_input"):  # GoogLeNet, Inception: see weakseg.models.classifier
            mean = std = (0.5, 0.5, 0.5)
        new = _fill(network, _without(head, state), recipe, head | blueprint.added(network))
    elif recipe.init != "random":
        path = Path(recipe.init)
        state, weights = blueprint.adapt(read_state_dict(path)), f"{path.name} (SHA-256 {hash_file(path)[:12]})"
        known = read_metadata(path)
        mean, std = (known.mean, known.std) if known else (mean, std)
        if known is None or known.classes != tuple(classes):
            state = _without(head, state)
        new = _fill(network, state, recipe, head | blueprint.added(network))
    else:
        new = set(head)
    if recipe.batch_norm == "batch" and recipe.init != "random" and _is_folded(network):
        raise RecipeError(
            f"{recipe.init} was folded: its normalisation layers have mean 0 and variance 1 instead of what they saw. "
            "With the statistics of each batch the network would forget all it knows. Set batch_norm=kept."
        )
    _freeze(network, recipe.freeze)
    return Start(network, frozenset(new), recipe.mean or mean, recipe.std or std, weights)


@dataclass(frozen=True)
class _Blueprint:
    """How a network is built, and what it can start from."""

    build: Callable[[int], nn.Module]  # number of outputs to a network with random weights
    ancestor: str | None  # torchvision's network whose ImageNet weights it takes
    adapt: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]  # the ancestor's state dict to its own names
    added: Callable[[nn.Module], frozenset[str]]  # what initial weights need not have


def _find_blueprint(recipe: Recipe) -> _Blueprint:
    name = recipe.network
    if recipe.learns_masks:
        build_pixel_network(name, 2, recipe.network_options)  # refuses unknown names and options
        pixel = PIXEL_NETWORKS[name]

        def build(outputs: int) -> nn.Module:
            return build_pixel_network(name, outputs, recipe.network_options)

        return _Blueprint(build, pixel.ancestor, pixel.adapt, lambda network: _below(pixel.added, network))
    own = OWN_NETWORKS.get(name) or OwnNetwork(lambda count: build_network(name, count), ancestor=name)
    added = frozenset(f"{layer}.{kind}" for layer in own.added for kind in ("weight", "bias"))
    return _Blueprint(own.build, own.ancestor, own.adapt, lambda _: added)


def _below(layers: tuple[str, ...], network: nn.Module) -> frozenset[str]:
    prefixes = tuple(f"{layer}." for layer in layers)
    return frozenset(name for name in network.state_dict() if name.startswith(prefixes))


def find_head(build: Callable[[int], nn.Module]) -> frozenset[str]:
    """Names of the parameters whose shape depends on the number of outputs, in any network."""
    with torch.device("meta"):  # shapes without memory
        two, three = (build(count).state_dict() for count in (2, 3))
    return frozenset(name for name, value in two.items() if value.shape != three[name].shape)


def _read_imagenet(blueprint: _Blueprint) -> tuple[dict[str, Tensor], Rgb, Rgb, str]:
    try:
        available = torchvision.models.get_model_weights(blueprint.ancestor or "none")
    except ValueError as error:
        name = blueprint.ancestor or "this network"
        raise ModelError(f"There are no ImageNet weights of {name!r}. Start with init=random or a file.") from error
    chosen = getattr(available, "IMAGENET1K_V1", None) or available.DEFAULT
    try:
        state = chosen.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise WeightsUnavailableError(
            f"The weights {chosen} are neither in {torch.hub.get_dir()}/checkpoints nor downloadable from "
            f"{chosen.url}: {error}. Connect to the internet, put the file there, or give init=random or init=FILE."
        ) from error
    transforms = chosen.transforms()
    return blueprint.adapt(state), tuple(transforms.mean), tuple(transforms.std), f"torchvision {chosen}"


def _without(names: Iterable[str], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    left_out = set(names)
    return {name: value for name, value in state.items() if name not in left_out}


def _fill(network: nn.Module, state: Mapping[str, Tensor], recipe: Recipe, may_differ: Iterable[str]) -> set[str]:
    """Load what fits. Returns the names that stay random, all of them in ``may_differ``."""
    own, allowed = network.state_dict(), set(may_differ)
    fitting = {name for name, value in state.items() if name in own and own[name].shape == value.shape}
    counters = {name for name in own if name.endswith("num_batches_tracked")}  # absent from files of other libraries
    strange = sorted({*state} - {*own} - allowed) or sorted({*own} - fitting - allowed - counters)
    if strange:
        raise ModelError(
            f"init={recipe.init} does not fit {recipe.network}: {strange[0]!r} is unknown, missing or of another shape "
            f"({len(strange)} such). Give weights of this network."
        )
    network.load_state_dict({name: state[name] for name in fitting}, strict=False)
    return {name for name in own if name not in fitting and name not in counters}


def _is_folded(network: nn.Module) -> bool:
    """Whether convolutions have swallowed the batch normalisation that follows them."""
    means = [value for name, value in network.named_buffers() if name.endswith("running_mean")]
    return bool(means) and not any(value.any() for value in means)


def _freeze(network: nn.Module, prefixes: Iterable[str]) -> None:
    for prefix in prefixes:
        hit = [value for name, value in network.named_parameters() if f"{name}.".startswith(f"{prefix}.")]
        if not hit:
            names = ", ".join(name for name, _ in network.named_children())
            raise RecipeError(f"freeze: no layer's name starts with {prefix!r}. The network's layers: {names}.")
        for value in hit:
            value.requires_grad_(False)
