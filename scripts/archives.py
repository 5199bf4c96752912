"""The archives that the launcher makes by itself, and when they are made again."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weakseg.archive import DEFAULT_MODEL, open_archive, read_config
from weakseg.card import CARD_KEY, ModelCard
from weakseg.errors import ModelError, UnsupportedNetworkError, WeightsUnavailableError
from weakseg.models.pixel.bundled import bundled_checkpoints

if TYPE_CHECKING:
    from export.build import Model, Settings
    from weakseg.models.classifier import Classifier

# Whatever needs PyTorch is imported where something is built: it takes seconds, and most starts build nothing.
ROOT = Path(__file__).resolve().parents[1]
DOWNLOAD_TIMEOUT_S = 20  # of silence on the line
DEMO_NOTICE = """
The ImageNet weights cannot be had: {reason}
Instead of them this makes the DEMONSTRATION MODEL: a small network, trained here and now on generated drawings.
The API is the same, but it knows drawings only, no photos. The next start tries to get the weights again.
"""

# What the archive is made of: a change in one of these makes it anew.
_SOURCES = (
    "export",
    "handlers",
    "requirements/serve.lock",
    "scripts/archives.py",
    "src/weakseg/attribution",
    "src/weakseg/card.py",
    "src/weakseg/labels.py",
    "src/weakseg/models",
    "src/weakseg/voc.py",
)
_DEMO_SOURCES = (*_SOURCES, "training/demo.py", "training/drawings.py")

Report = Callable[[str], None]


def default_models() -> tuple[str, ...]:
    """What is served where nothing else is asked for: one model, and those whose weights come with the package."""
    return (DEFAULT_MODEL, *bundled_checkpoints())


def ensure_archive(name: str, store: Path, report: Report, *, demo: bool = True) -> ModelCard:
    """The model's card, from its archive in the store; default models are built where they are missing or outdated.

    Args:
        name: Of an archive in the store, not a path: TorchServe loads from the store by name.
        report: Called with a line for people at every step.
        demo: Whether the demonstration model may stand in for `weakseg` where its weights cannot be had.
    Raises:
        ModelError: no such model, or it cannot be built.
        WeightsUnavailableError: there are no weights, no real model, and no demonstration is wanted.
    """
    if name in default_models():
        store.mkdir(parents=True, exist_ok=True)
        _ensure_default(store / f"{name}.mar", report, demo=demo)
    known = sorted(path.stem for path in store.glob("*.mar"))
    if name not in known:
        raise ModelError(
            f"No model {name!r} in {store} (it has: {', '.join(known) or 'none'}). Models are served by the name of"
            " their archive in the store, without path and .mar. Build one with `python -m export`, or choose another"
            " --store."
        )
    return open_archive(store / f"{name}.mar").card


@dataclass(frozen=True)
class Trained:
    """What ``python -m training`` wrote, and how its maps are to be made."""

    model: Model
    settings: Settings
    name: str  # of its archive: NETWORK_METHOD; of a network that labels pixels its own

    def refuse_other_weights(self, store: Path) -> None:
        """Raises: ModelError: the archive of that name in the store holds other weights."""
        archive = store / f"{self.name}.mar"
        weights = _read_card(archive).get("weights", {}) if archive.exists() else {}
        if weights and weights.get("sha256") != self.model.weights.sha256:
            raise ModelError(
                f"{archive} holds other weights ({weights.get('source')}) than the checkpoint, and is not overwritten. "
                "Stop what serves it (--stop), and move it away; or give another folder with --store."
            )


def read_checkpoint(checkpoint: Path, report: Report, *, method: str | None) -> Trained:
    """Load a checkpoint of ours; nothing is exported yet.

    Args:
        method: How maps are made; none: the network's own class maps, else class activation maps where it ends as
            they need, else saliency. A network that labels pixels takes none.
    Raises:
        ModelError: no checkpoint of ours, an unknown method, or one that does not suit the network.
    """
    from weakseg.models.pixel.load import is_pixel_checkpoint

    if is_pixel_checkpoint(checkpoint):
        return _read_pixel_checkpoint(checkpoint, method)
    from export.parsing import choose_settings, default_name
    from weakseg.attribution.methods import SETTINGS
    from weakseg.models.classifier import load_classifier

    classifier = load_classifier(None, checkpoint)
    method = method or _suitable_method(classifier, report)
    known = {str(name): name for name in SETTINGS}
    if method not in known:
        raise ModelError(f"--method {method}: give one of {', '.join(known)}.")
    settings = choose_settings(known[method], None, {}, {})
    return Trained(classifier, settings, default_name(classifier.network, settings.method))


def _read_pixel_checkpoint(checkpoint: Path, method: str | None) -> Trained:
    from export.parsing import default_name, refuse_flags
    from weakseg.attribution.pixels import PixelSettings
    from weakseg.models.pixel.load import load_pixel_model

    model, settings = load_pixel_model(checkpoint), PixelSettings()
    refuse_flags(f"{checkpoint} holds a network that labels pixels.", {"--method": method})
    return Trained(model, settings, default_name(model.network, settings.method))


def ensure_trained(trained: Trained, store: Path, report: Report) -> None:
    """Export a checkpoint into the store, where its archive is missing or outdated.

    Raises:
        ModelError: an archive of that name holds other weights; it is never overwritten.
    """
    from export.build import build_archive
    from export.default_models import METHOD_FIELDS

    archive, sources = store / f"{trained.name}.mar", fingerprint(_SOURCES)
    trained.refuse_other_weights(store)
    if archive.exists() and _made_of(archive) in ("", sources):  # "": exported by hand from the same weights
        report(f"{trained.name}: up to date")
        return
    store.mkdir(parents=True, exist_ok=True)
    model, settings = trained.model, trained.settings
    fields = {**METHOD_FIELDS.get(settings.method, {}), "multi_label": model.multi_label, "made_of": sources}
    build_archive(
        model,
        name=trained.name,
        directory=store,
        settings=settings,
        card_fields=fields,
        on_step=lambda step: report(f"{trained.name}: {step}"),
    )


def _suitable_method(classifier: Classifier, report: Report) -> str:
    from weakseg.models.class_map import has_class_map

    if has_class_map(classifier.model):
        return "joint"
    try:
        classifier.split  # noqa: B018  (cut where it is first asked for)
    except UnsupportedNetworkError as error:
        report(f"Saliency maps, as the network does not suit class activation maps: {error}")
        return "saliency"
    return "cam"


def sample_drawing(store: Path) -> Path:
    """A picture that the demonstration model knows; made together with it."""
    return store / ".demo" / "demo_sample.png"


def fingerprint(sources: Sequence[str]) -> str:
    """SHA-256 over names and contents of all files at or below these paths of the repository."""
    digest = hashlib.sha256()
    for path in _files(sources):
        digest.update(f"{path.relative_to(ROOT)}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _ensure_default(archive: Path, report: Report, *, demo: bool) -> None:
    made_of = _made_of(archive) if archive.exists() else None
    if made_of == "":
        report(f"{archive.stem}: not made by this program, so it is served as it is")
    elif made_of == fingerprint(_SOURCES):
        report(f"{archive.stem}: up to date")
    elif archive.stem == DEFAULT_MODEL:
        _build(archive, report, made_of=made_of, demo=demo)
    else:
        _build_bundled(archive, report)


def _made_of(archive: Path) -> str:
    """The fingerprint in an archive's card."""
    return str(_read_card(archive).get("made_of", ""))


def _read_card(archive: Path) -> Mapping[str, Any]:
    """A card's fields as they are: another weakseg may have written them."""
    config = read_config(archive)
    card = config.get(CARD_KEY) if isinstance(config, dict) else None
    return card if isinstance(card, dict) else {}


def _build(archive: Path, report: Report, *, made_of: str | None, demo: bool = True) -> None:
    """Build `weakseg`, or the demonstration model in its place.

    Args:
        made_of: Fingerprint of the archive that is there; none: there is no archive. A demonstration model that is up
            to date stays, and so does the real model: it is never replaced by the demonstration.
        demo: Otherwise WeightsUnavailableError instead of the demonstration model.
    """
    from export.default_models import build_default_model
    from weakseg.models.classifier import load_classifier

    try:
        report(f"{DEFAULT_MODEL}: get SqueezeNet 1.1's ImageNet weights (5 MB, once)")
        with _patience(DOWNLOAD_TIMEOUT_S):
            classifier = load_classifier("squeezenet1_1")
    except WeightsUnavailableError as error:
        if made_of is not None and not open_archive(archive).card.weights.demonstration:
            report(f"{DEFAULT_MODEL}: outdated, but kept, as its weights cannot be had again: {error}")
            return
        if not demo:
            raise
        report(DEMO_NOTICE.format(reason=error))
        if made_of == fingerprint(_DEMO_SOURCES):
            report(f"{DEFAULT_MODEL}: the demonstration model is up to date")
        else:
            _build_demo(archive, report)
        return
    if classifier.doubt:
        report(f"WARNING: {classifier.doubt}")
    build_default_model(
        classifier,
        archive.parent,
        lambda step: report(f"{DEFAULT_MODEL}: {step}"),
        made_of=fingerprint(_SOURCES),
    )


def _build_bundled(archive: Path, report: Report) -> None:
    from export.default_models import build_bundled_model

    name = archive.stem
    build_bundled_model(name, archive.parent, lambda step: report(f"{name}: {step}"), made_of=fingerprint(_SOURCES))


def _build_demo(archive: Path, report: Report) -> None:
    from export.build import build_archive
    from training.demo import INPUT_PX, train_demo
    from training.drawings import CLASSES
    from weakseg.models.classifier import load_classifier

    folder = sample_drawing(archive.parent).parent
    report("demonstration model: draw pictures and train (a minute at most)")
    result = train_demo(folder)
    report(f"demonstration model: {result.accuracy:.0%} of new drawings named rightly, maps' mIoU {result.miou:.0%}")
    names = folder / "classes.txt"
    names.write_text("\n".join(CLASSES), encoding="utf-8")
    classifier = load_classifier("demo", result.checkpoint, classes=names, licence="none needed: made here")
    build_archive(
        classifier,
        name=DEFAULT_MODEL,
        directory=archive.parent,
        hw=(INPUT_PX, INPUT_PX),
        card_fields={"version": "demo", "made_of": fingerprint(_DEMO_SOURCES)},
        on_step=lambda step: report(f"{DEFAULT_MODEL}: {step}"),
    )


def _files(sources: Sequence[str]) -> Iterator[Path]:
    for source in sources:
        path = ROOT / source
        found = path.rglob("*") if path.is_dir() else [path]
        yield from sorted(file for file in found if file.is_file() and "__pycache__" not in file.parts)


@contextmanager
def _patience(timeout_s: float) -> Iterator[None]:
    """Bounds every wait for the network: torchvision's loader has no timeout of its own."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(timeout_s)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
