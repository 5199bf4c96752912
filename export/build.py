"""One call from a loaded model to an archive: graph, two files, parity, archive."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from export.archive import write_archive
from export.onnx import export_onnx
from export.parity import check_parity, find_example_size
from export.torchscript import example_inputs, export_torchscript
from weakseg.attribution.cam import CamSettings
from weakseg.attribution.graph import GraphSettings, MapGraph
from weakseg.attribution.methods import build_graph
from weakseg.attribution.pixels import PixelGraph, PixelSettings
from weakseg.card import Method, ModelCard
from weakseg.errors import ModelCardError, ModelError, UnknownClassError
from weakseg.labels import Vocabulary
from weakseg.models.classifier import Classifier
from weakseg.models.pixel.load import PixelModel
from weakseg.runtime import ONNX_FILE, TORCHSCRIPT_FILE
from weakseg.voc import voc_groups

HANDLERS = Path(__file__).resolve().parents[1] / "handlers"
STEPS = ("build the graph", "TorchScript", "ONNX", "parity", "archive")  # what ``on_step`` is called with, in order

HANDLER_FILES: Mapping[Method, str] = {"cam": "cam_handler.py", "joint": "cam_handler.py", "pixels": "pixel_handler.py"}

Groups = Mapping[str, Sequence[int]]
Model = Classifier | PixelModel
Settings = GraphSettings | PixelSettings


def default_batch_size(method: Method) -> int:
    """Requests per batch. Those of DCSM are long, and those at a batch's end wait for all before them.

    Networks that label pixels keep features at the photo's size in memory.
    """
    return {"dcsm": 2, "pixels": 4}.get(method, 8)


@dataclass(frozen=True, slots=True)
class Serving:
    """TorchServe's own settings of a model.

    How many workers there are is the machine's to say (``scripts/sizing.py``), since whatever an archive says wins over
    that, and over ``initial_workers`` of a registration.

    Args:
        workers: A fixed number of them, all the same.
        batch_size: Requests that a worker takes at once, at most.
        max_batch_delay_ms: How long the first of a batch waits for others. All of it is a lone request's wait;
            TorchServe reads 0 as "not set", which is 100 ms.
        response_timeout_s: A worker that answers no batch for so long is killed and started again.
        startup_timeout_s: So long a worker may load its model; a large one on a busy machine takes minutes.
        job_queue_size: Requests that wait for a worker; one more is answered 503. 100 photos of 60 ms are 6 s of work.
        retry_s: A worker that dies again and again is given up after so long, and nothing starts it any more.
            TorchServe's own five minutes give up a service whose GPU or memory is taken for a while; attempts come at
            growing distances, 27 minutes at most.
    """

    workers: int | None = None
    batch_size: int = 8
    max_batch_delay_ms: int = 1
    response_timeout_s: int = 120
    startup_timeout_s: int = 300
    job_queue_size: int = 100
    retry_s: int = 7 * 24 * 3600

    def as_dict(self) -> dict[str, int]:
        """The keys of TorchServe's model-config.yaml."""
        workers = {} if self.workers is None else {"minWorkers": self.workers, "maxWorkers": self.workers}
        return workers | {
            "batchSize": self.batch_size,
            "maxBatchDelay": self.max_batch_delay_ms,
            "responseTimeout": self.response_timeout_s,
            "startupTimeout": self.startup_timeout_s,
            "jobQueueSize": self.job_queue_size,
            "maxRetryTimeoutInSec": self.retry_s,
        }


@dataclass(frozen=True, slots=True)
class BuiltArchive:
    path: Path
    card: ModelCard


def build_archive(
    model: Model,
    *,
    name: str,
    directory: Path,
    groups: Groups | None = None,
    settings: Settings | None = None,
    hw: tuple[int, int] | None = None,
    serving: Serving | None = None,
    handler: Path | None = None,
    card_fields: Mapping[str, Any] | None = None,
    on_step: Callable[[str], None] = lambda _: None,
) -> BuiltArchive:
    """Export a model together with what makes its maps, and pack it as ``directory/name.mar``.

    Args:
        groups: Group name to class indices.
        settings: By which method and how the maps are made; by default plain class activation maps, and class
            probabilities where the network labels pixels.
        hw: The size that photos are resized to, or that of warm-up and parity where they keep their proportions; the
            one that the network was trained at by default.
        handler: The Python file of the TorchServe handler; the method's by default.
        card_fields: More fields of the model card (version, multi_label, runtime, threads, photo_task, box_task ...);
            those of ``preprocessing`` are merged with the model's own, and can change ``max_side`` alone.
        on_step: Called with each of STEPS as it starts.
    Raises:
        ParityError: the exported graphs disagree. ModelError: something does not fit. No archive is written or changed.
    """
    settings = settings or (PixelSettings() if isinstance(model, PixelModel) else CamSettings())
    if isinstance(model, PixelModel) != isinstance(settings, PixelSettings):
        raise ModelError(f"{model.network} makes no {settings.method} maps.")
    handler = find_handler(settings.method, handler)
    card = _draft_card(model, name, groups or {}, settings, hw or model.normalisation.hw, card_fields or {})
    on_step("build the graph")
    graph, facts = _build_graph(model, card, settings)
    return pack(graph, card.model_copy(update={"graph": facts}), directory, on_step, serving=serving, handler=handler)


def _build_graph(model: Model, card: ModelCard, settings: Settings) -> tuple[MapGraph, dict[str, Any]]:
    """The graph, and how it makes its maps: with the layers that it chose, or the options of its network.

    Raises:
        ModelError: whatever the graph refuses.
    """
    if isinstance(model, PixelModel):
        normalisation = {"mean": model.normalisation.mean, "std": model.normalisation.std}
        graph = PixelGraph(model.model, model.network, card.vocabulary(), settings=settings, **normalisation)
        options = {"network_options": dict(model.network_options)} if model.network_options else {}
        return graph, {**dataclasses.asdict(settings), **options}
    made = build_graph(model, card.vocabulary(), settings, multi_label=card.multi_label)
    return made, dataclasses.asdict(made.settings)


def pack(
    graph: MapGraph,
    card: ModelCard,
    directory: Path,
    on_step: Callable[[str], None],
    *,
    serving: Serving | None = None,
    handler: Path | None = None,
) -> BuiltArchive:
    """Export a graph, compare what came out with it, and archive both files with the card.

    Raises:
        ParityError, ModelError: as `build_archive`.
    """
    handler = find_handler(card.method, handler)
    with tempfile.TemporaryDirectory() as folder:
        graphs = Path(folder)
        parity = _export(graph, graphs, (card.preprocessing.height, card.preprocessing.width), on_step)
        card = card.model_copy(update={"parity": parity})
        on_step("archive")
        config = card.to_yaml((serving or Serving(batch_size=default_batch_size(card.method))).as_dict())
        path = write_archive(
            name=card.name, version=card.version, graphs=graphs, config=config, handler=handler, directory=directory
        )
    return BuiltArchive(path, card)


def find_handler(method: Method, given: Path | None = None) -> Path:
    """The TorchServe handler that was given, else that of the method's family.

    Raises:
        ModelError: it is not there.
    """
    handler = given or HANDLERS / HANDLER_FILES.get(method, "gradient_handler.py")
    if not handler.is_file():
        raise ModelError(f"There is no handler {handler}. Run from a checkout of weakseg, or give its path.")
    return handler


def read_groups(choice: str, class_names: Sequence[str]) -> dict[str, list[int]]:
    """``none``, ``voc`` (for the 1000 classes of ImageNet), or a YAML or JSON file: group to class numbers or names.

    Raises:
        ModelError: the file cannot be read, or names a class that the network has not.
    """
    if choice == "none":
        return {}
    if choice == "voc":
        if len(class_names) != 1000:
            raise ModelError(f"groups=voc is for the 1000 classes of ImageNet; this network has {len(class_names)}.")
        return voc_groups()
    try:
        document = yaml.safe_load(Path(choice).read_text(encoding="utf-8"))
        vocabulary = Vocabulary(class_names)
        return {str(name): [vocabulary.resolve(member) for member in members] for name, members in document.items()}
    except (OSError, yaml.YAMLError, AttributeError, TypeError, UnknownClassError) as error:
        raise ModelError(f"Groups cannot be read from {choice}: {error}. Give none, voc or a YAML file.") from error


def _draft_card(
    model: Model,
    name: str,
    groups: Groups,
    settings: Settings,
    hw: tuple[int, int],
    more: Mapping[str, Any],
) -> ModelCard:
    normalisation = model.normalisation
    own = {"height": hw[0], "width": hw[1], "mean": normalisation.mean, "std": normalisation.std}
    usual = {"max_side": model.max_side} if isinstance(model, PixelModel) else {}
    fields = {
        "name": name,
        "network": model.network,
        "method": settings.method,
        "classes": model.classes,
        "groups": groups,
        "weights": model.weights,
        **more,
        "preprocessing": {**usual, **more.get("preprocessing", {}), **own},
    }
    try:
        return ModelCard(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        raise ModelCardError(f"{'.'.join(map(str, first['loc']))} = {first['input']!r:.80}: {first['msg']}.") from error


def _export(graph: MapGraph, folder: Path, hw: tuple[int, int], on_step: Callable[[str], None]) -> dict[str, object]:
    torchscript, onnx = folder / TORCHSCRIPT_FILE, folder / ONNX_FILE
    inputs = example_inputs(find_example_size(graph, hw), graph.membership.shape[0])
    on_step("TorchScript")
    export_torchscript(graph, torchscript, inputs)
    on_step("ONNX")
    export_onnx(torchscript, onnx, inputs)
    on_step("parity")
    return check_parity(graph, torchscript=torchscript.read_bytes(), onnx=onnx.read_bytes(), hw=hw)
