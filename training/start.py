"""The network that a training starts from: built, filled with initial weights, parts of it frozen."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn

from training.recipe import Recipe, RecipeError, Rgb
from weakseg.errors import ModelError, WeightsUnavailableError
from weakseg.models.checkpoint import read_metadata
from weakseg.models.classifier import IMAGENET_MEAN, IMAGENET_STD, build_network, read_state_dict
from weakseg.models.own import OWN_NETWORKS


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
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = build_network(recipe.network, len(classes))
    head = find_head(recipe.network)
    mean, std, weights = IMAGENET_MEAN, IMAGENET_STD, "random numbers"
    if recipe.init == "imagenet":
        state, mean, std, weights = _read_imagenet(recipe.network)
        if hasattr(network, "transform_input"):  # GoogLeNet, Inception: see weakseg.models.classifier
            mean = std = (0.5, 0.5, 0.5)
        new = _fill(network, _without(head, state), recipe, head | _added(recipe.network))
    elif recipe.init != "random":
        path = Path(recipe.init)
        state, weights = _adapt(recipe.network, read_state_dict(path)), f"{path.name} (SHA-256 {_sha256(path)[:12]})"
        known = read_metadata(path)
        mean, std = (known.mean, known.std) if known else (mean, std)
        if known is None or known.classes != tuple(classes):
            state = _without(head, state)
        new = _fill(network, state, recipe, head | _added(recipe.network))
    else:
        new = set(head)
    if recipe.batch_norm == "batch" and recipe.init != "random" and _is_folded(network):
        raise RecipeError(
            f"{recipe.init} was folded: its normalisation layers have mean 0 and variance 1 instead of what they saw. "
            "With the statistics of each batch the network would forget all it knows. Set batch_norm=kept."
        )
    _freeze(network, recipe.freeze)
    return Start(network, frozenset(new), recipe.mean or mean, recipe.std or std, weights)


def find_head(network: str) -> frozenset[str]:
    """Names of the parameters whose shape depends on the number of classes, in any network."""
    with torch.device("meta"):  # shapes without memory
        two, three = (build_network(network, count).state_dict() for count in (2, 3))
    return frozenset(name for name, value in two.items() if value.shape != three[name].shape)


def _added(network: str) -> frozenset[str]:
    own = OWN_NETWORKS.get(network)
    return frozenset(f"{layer}.{kind}" for layer in (own.added if own else ()) for kind in ("weight", "bias"))


def _adapt(network: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return OWN_NETWORKS[network].adapt(state) if network in OWN_NETWORKS else dict(state)


def _read_imagenet(network: str) -> tuple[dict[str, Tensor], Rgb, Rgb, str]:
    ancestor = OWN_NETWORKS[network].ancestor if network in OWN_NETWORKS else network
    try:
        available = torchvision.models.get_model_weights(ancestor)
    except ValueError as error:
        raise ModelError(f"There are no ImageNet weights of {network!r}. Start with init=random or a file.") from error
    chosen = getattr(available, "IMAGENET1K_V1", None) or available.DEFAULT
    try:
        state = chosen.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise WeightsUnavailableError(
            f"The weights {chosen} are neither in {torch.hub.get_dir()}/checkpoints nor downloadable from "
            f"{chosen.url}: {error}. Connect to the internet, put the file there, or give init=random or init=FILE."
        ) from error
    transforms = chosen.transforms()
    return _adapt(network, state), tuple(transforms.mean), tuple(transforms.std), f"torchvision {chosen}"


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


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
