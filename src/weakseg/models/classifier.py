"""Load an image classifier with its weights, class names and preprocessing, ready for export."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
import torchvision
from torch import fx, nn

from weakseg.card import Weights
from weakseg.errors import ModelError, UnsupportedNetworkError, WeightsUnavailableError
from weakseg.models import own as own_networks
from weakseg.models.checkpoint import CheckpointMetadata, read_metadata
from weakseg.models.demo import build_demo_net
from weakseg.models.split import SplitNetwork, split_network, trace_steps
from weakseg.models.state import DAMAGE, fill_network, hash_file, read_state_dict

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
DEMO = "demo"  # the small network of weakseg.models.demo

_LOCAL = "; from a local file whose SHA-256 is not the published {}"
_DOUBT = (
    "{} is not byte for byte the published file (SHA-256 {}..., published {}...); delete it to download it again, "
    "unless you know it"
)

Rgb = tuple[float, float, float]


@dataclass(frozen=True)
class Normalisation:
    """How pixels become the network's input: mean and std of RGB in [0, 1], and the size it was trained at."""

    mean: Rgb = IMAGENET_MEAN
    std: Rgb = IMAGENET_STD
    hw: tuple[int, int] = (224, 224)


DEMO_NORMALISATION = Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), (64, 64))


@dataclass(frozen=True)
class Classifier:
    """A classifier that is ready for export, and what must never part company with its weights."""

    network: str
    model: nn.Module  # (B, 3, h, w) float32, normalised -> (B, C) logits; in eval mode
    classes: tuple[str, ...]  # (C)
    normalisation: Normalisation
    weights: Weights
    doubt: str = ""  # whether these weights are what they are taken for, in words; empty: there is none
    multi_label: bool = False  # trained with a sigmoid per class, as its checkpoint says

    @cached_property
    def split(self) -> SplitNetwork:
        """Its two halves, for class activation maps.

        Raises:
            UnsupportedNetworkError: it does not end in global average pooling and one linear layer.
        """
        return split_network(self.model, self.network)


def load_classifier(
    network: str | None,
    weights: str | Path = "imagenet",
    *,
    classes: Path | None = None,
    num_classes: int | None = None,
    mean: Rgb | None = None,
    std: Rgb | None = None,
    licence: str | None = None,
) -> Classifier:
    """A torchvision classifier (or ``demo``) with weights from ImageNet, from a checkpoint, or random ones.

    Args:
        network: A name of ``torchvision.models.list_models()``, ``demo``, or one of `weakseg.models.own`. None: what
            the checkpoint says, else squeezenet1_1.
        weights: ``imagenet`` (torchvision's IMAGENET1K_V1, downloaded once into TORCH_HOME), ``random``, or the path
            of a state dict (.pt, .pth), as written by torch.save; one inside ``{"state_dict": ...}`` or
            ``{"model": ...}``, or with names that start with ``module.``, is unwrapped. A checkpoint of
            ``python -m training`` brings its network, classes, size, mean and std.
        classes: Class names: a text file with one name a line, a JSON list, or a JSON object {"0": name, ...} (also
            ImageNet's {"0": [id, name], ...}). ImageNet weights bring their own.
        num_classes: For random weights; a checkpoint says it by its head's shape.
        mean, std: Of RGB in [0, 1]. Default: what torchvision's weights say; ImageNet's for a checkpoint; 0.5 for demo.
            A checkpoint of GoogLeNet or Inception needs both: see ``_refuse_unknown_input``.
        licence: Overrides the licence in the model card.
    Raises:
        WeightsUnavailableError: ImageNet weights that are neither cached nor downloadable.
        UnsupportedNetworkError: no such network.
        ModelError: a checkpoint or a class file that does not fit; names the first difference. A checkpoint whose
            mean and std must be given, and are not. Cached ImageNet weights that are damaged.
    """
    said = read_metadata(Path(weights)) if weights not in ("imagenet", "random") else None
    if said and said.pixels:
        raise ModelError(f"{weights} holds a network that labels pixels, {said.network}, and not a classifier.")
    network = _agree(network, said, weights)
    names = read_class_names(classes) if classes else said.classes if said else None
    mean, std = mean or (said.mean if said else None), std or (said.std if said else None)
    if weights == "imagenet":
        loaded = _load_imagenet(network)
    elif weights == "random":
        loaded = _load_random(network, num_classes or len(names or ()) or 1000)
    else:
        if mean is None or std is None:
            _refuse_unknown_input(network, Path(weights))
        loaded = _load_checkpoint(network, Path(weights))
    count, own = loaded.class_count, loaded.normalisation
    if names is not None and len(names) != count:
        raise ModelError(f"{classes} has {len(names)} class names; {network} with these weights has {count} classes.")
    return Classifier(
        network=network,
        model=loaded.model.eval(),
        classes=names or loaded.classes or tuple(f"class {index}" for index in range(count)),
        normalisation=replace(own, mean=mean or own.mean, std=std or own.std, hw=said.hw if said else own.hw),
        weights=loaded.weights.model_copy(update={"licence": licence}) if licence else loaded.weights,
        doubt=loaded.doubt,
        multi_label=said.multi_label if said else False,
    )


def _agree(network: str | None, said: CheckpointMetadata | None, weights: str | Path) -> str:
    """The network to load: as asked for, else as the checkpoint says. Raises: ModelError where these differ."""
    if network and said and network != said.network:
        raise ModelError(
            f"{weights} is a checkpoint of {said.network}, not of {network}. Leave the network's name out."
        )
    return network or (said.network if said else "squeezenet1_1")


def read_class_names(path: Path) -> tuple[str, ...]:
    """Class names in the network's order, from a text file (one a line) or JSON (list, or object of numbers to names).

    Raises:
        ModelError: the file cannot be read or is not one of these.
    """
    try:
        text = path.read_text(encoding="utf-8")
        parsed = json.loads(text) if path.suffix == ".json" else text.splitlines()
        if isinstance(parsed, dict):
            parsed = [parsed[str(index)] for index in range(len(parsed))]
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError) as error:
        raise ModelError(f"Class names cannot be read from {path}: {error!r}.") from error
    if not isinstance(parsed, list):
        raise ModelError(f"{path} holds no list of class names.")
    names = [str(item[-1] if isinstance(item, list) and item else item).strip() for item in parsed]
    while names and not names[-1]:  # empty lines at the end
        names.pop()
    if not names or "" in names:
        raise ModelError(f"{path}: class name {names.index('') + 1 if names else 1} is empty.")
    return tuple(names)


def build_network(network: str, num_classes: int) -> nn.Module:
    """A network with random weights.

    Raises:
        UnsupportedNetworkError: torchvision has no classifier of this name.
    """
    if network == DEMO:
        return build_demo_net(num_classes)
    if network in own_networks.OWN_NETWORKS:
        return own_networks.OWN_NETWORKS[network].build(num_classes)
    if network not in torchvision.models.list_models(module=torchvision.models):
        own = ", ".join(repr(name) for name in (DEMO, *own_networks.OWN_NETWORKS))
        raise UnsupportedNetworkError(
            f"torchvision has no classifier {network!r}. Names: torchvision.models.list_models(module="
            f"torchvision.models), such as squeezenet1_1, resnet18, mobilenet_v2; of our own: {own}."
        )
    with warnings.catch_warnings():  # GoogLeNet and Inception announce another random initialisation
        warnings.filterwarnings("ignore", "The default weight initialization of", FutureWarning)
        model: nn.Module = torchvision.models.get_model(network, weights=None, num_classes=num_classes)
    return model


@dataclass(frozen=True)
class _Loaded:
    model: nn.Module
    class_count: int
    classes: tuple[str, ...] | None
    normalisation: Normalisation
    weights: Weights
    doubt: str = ""


def _load_imagenet(network: str) -> _Loaded:
    try:
        available = torchvision.models.get_model_weights(network)
    except ValueError as error:
        raise UnsupportedNetworkError(f"torchvision has no weights for {network!r}: {error}.") from error
    chosen = getattr(available, "IMAGENET1K_V1", None) or available.DEFAULT
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(chosen.url).name
    model = _get_pretrained(network, chosen, cached)
    sha256 = hash_file(cached)
    transforms = chosen.transforms()
    published = _is_published(chosen.url, sha256)
    classes = tuple(chosen.meta["categories"])
    return _Loaded(
        model=model,
        class_count=len(classes),
        classes=classes,
        normalisation=Normalisation(tuple(transforms.mean), tuple(transforms.std), 2 * tuple(transforms.crop_size)),
        weights=Weights(
            source=f"torchvision {chosen} ({chosen.url}){'' if published else _LOCAL.format(_published(chosen.url))}",
            licence="BSD-3-Clause (torchvision); trained on ImageNet-1k, whose own terms apply to its images",
            sha256=sha256,
        ),
        doubt="" if published else _DOUBT.format(cached, sha256[:8], _published(chosen.url)),
    )


def _get_pretrained(network: str, chosen: torchvision.models.WeightsEnum, cached: Path) -> nn.Module:
    """torchvision's network with its weights from the cache, downloaded before where they are not there.

    Raises:
        WeightsUnavailableError: no network, no space; a download with a wrong hash, which is not kept.
        ModelError: the cached file is not one of these weights.
    """
    try:
        model: nn.Module = torchvision.models.get_model(network, weights=chosen, progress=False)
    except (OSError, *DAMAGE) as error:
        if cached.exists() and not isinstance(error, OSError):
            raise ModelError(
                f"{cached} is damaged: the weights {chosen} cannot be read from it. Delete it and start again."
            ) from error
        raise WeightsUnavailableError(
            f"The weights {chosen} are neither at {cached} nor downloadable from {chosen.url}: {error}. Connect to the "
            "internet, or put the file there; with TORCH_HOME set, it belongs into TORCH_HOME/hub/checkpoints."
        ) from error
    return model


def _published(url: str) -> str:
    """The first digits of a file's SHA-256, which torchvision puts into its name."""
    return Path(url).stem.rpartition("-")[2]


def _is_published(url: str, sha256: str) -> bool:
    """torchvision checks the hash in a file's name when it downloads it, and not when it finds it in its cache."""
    return sha256.startswith(_published(url))


def _load_random(network: str, num_classes: int) -> _Loaded:
    weights = Weights(source="random numbers: for tests only", licence="none needed", sha256="none")
    model = build_network(network, num_classes)
    return _Loaded(model, num_classes, None, _default_normalisation(network), weights)


def _refuse_unknown_input(network: str, path: Path) -> None:
    """GoogLeNet and Inception turn ImageNet's normalisation into mean = std = 0.5 where ``transform_input`` is set.

    torchvision sets it with its ImageNet weights, and so for all that is fine-tuned from them; but it is no part of a
    state dict, and a wrong guess only makes the scores worse. The networks here are built without it.

    Raises:
        ModelError: the network has this switch.
    """
    if hasattr(_sketch(network, 1), "transform_input"):
        raise ModelError(
            f"{path} does not say how {network}'s input was normalised. Give mean and std: --mean 0.5 --std 0.5 if it "
            "was fine-tuned from torchvision's ImageNet weights (their transform_input amounts to these numbers), "
            "otherwise those that it was trained with."
        )


def _load_checkpoint(network: str, path: Path) -> _Loaded:
    state = read_state_dict(path)
    head = _find_head(network)
    if head not in state:
        raise ModelError(
            f"{path} is not a checkpoint of {network}: it has no {head}. It starts with {next(iter(state))!r}."
        )
    class_count = len(state[head])
    model = build_network(network, class_count)
    fill_network(model, state, f"{path} does not fit {network}", needed=_names_in_use(model))
    drawings = "trained on generated drawings: a demonstration, not for real photos; "
    return _Loaded(
        model=model,
        class_count=class_count,
        classes=None,
        normalisation=_default_normalisation(network),
        weights=Weights(
            source=f"{drawings if network == DEMO else ''}checkpoint {path.name}",
            licence="not stated",
            sha256=hash_file(path),
            demonstration=network == DEMO,
        ),
    )


def _names_in_use(model: nn.Module) -> set[str]:
    """Parameters and buffers that decide a prediction: GoogLeNet's auxiliary heads, for one, do not."""
    used = fx.GraphModule(model, trace_steps(model.eval(), type(model).__name__))
    return {name for name in used.state_dict() if not name.endswith("num_batches_tracked")}


def _find_head(network: str) -> str:
    """The name of the weight whose first dimension is the number of classes."""
    two, three = (_sketch(network, count).state_dict() for count in (2, 3))
    return [name for name in two if name.endswith("weight") and len(two[name]) != len(three[name])][-1]


def _sketch(network: str, num_classes: int) -> nn.Module:
    """A network without numbers: its names and shapes alone."""
    with torch.device("meta"):
        return build_network(network, num_classes)


def _default_normalisation(network: str) -> Normalisation:
    return DEMO_NORMALISATION if network == DEMO else Normalisation()
