"""Reading a model archive (.mar, a zip) or the folder that TorchServe unpacks it to."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from weakseg.card import ModelCard, parse_card
from weakseg.errors import ModelError

CONFIG_FILE = "model-config.yaml"
THREADS_VARIABLE = "WEAKSEG_THREADS"  # threads of a worker where the machine decides, not the card
DEFAULT_MODEL = "weakseg"  # what is asked where no model is named; others are served beside it


@dataclass(frozen=True, slots=True)
class Archive:
    """A model archive: its card, its files by name, and where it lies."""

    path: Path
    card: ModelCard
    read_file: Callable[[str], bytes]


def open_archive(path: Path) -> Archive:
    """Open ``model.mar`` or an unpacked folder.

    Raises:
        ModelError: not an archive. ModelCardError: its card is missing or wrong.
    """
    return Archive(path, parse_card(read_config(path), where=f"{path}/{CONFIG_FILE}"), _reader(path))


def read_config(path: Path) -> Any:
    """An archive's model-config.yaml as it is, unchecked.

    Raises:
        ModelError: not an archive.
    """
    try:
        return yaml.safe_load(_reader(path)(CONFIG_FILE))
    except (KeyError, FileNotFoundError) as error:
        raise ModelError(f"{path} holds no {CONFIG_FILE}. Archive the model with `python -m export`.") from error
    except (OSError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} is not a model archive: {error}.") from error


def find_archive(name: str, store: Path) -> Path:
    """``name`` as a path, or as a model of the store.

    Raises:
        ModelError: neither; names the models that the store has.
    """
    for candidate in (store / f"{name}.mar", Path(name)):
        if candidate.exists():
            return candidate
    models = ", ".join(sorted(path.stem for path in store.glob("*.mar"))) or "none"
    raise ModelError(
        f"No model {name!r} in {store.resolve()} (it has: {models}). Build it with `./scripts/serve` or"
        " `python -m export`, or give another folder with --store."
    )


def _reader(path: Path) -> Callable[[str], bytes]:
    return _folder_reader(path) if path.is_dir() else _zip_reader(path)


def _folder_reader(folder: Path) -> Callable[[str], bytes]:
    return lambda name: (folder / name).read_bytes()


def _zip_reader(path: Path) -> Callable[[str], bytes]:
    def read(name: str) -> bytes:
        with zipfile.ZipFile(path) as archive:
            return archive.read(name)

    return read
