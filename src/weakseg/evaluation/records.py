"""Counts of finished photos on disk, one JSON line each, so that a run that was stopped can go on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar


class Stamped(Protocol):
    """A photo and its mask, as files."""

    @property
    def image_id(self) -> str: ...

    @property
    def photo(self) -> Path: ...

    @property
    def mask(self) -> Path: ...


class Countable(Protocol):
    """A dataclass of what one photo adds to the results; made again by ``kind(**record.as_dict())``."""

    image: str

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""


Kept = TypeVar("Kept", bound=Countable)

# Changing these files changes no count.
_REPORTING = {
    "folder_gallery.py",
    "folder_tables.py",
    "cli.py",
    "report.py",
    "run.py",
    "results.py",
    "tables.py",
    "plots.py",
    "gallery.py",
    "page.py",
}


class RecordFile(Generic[Kept]):
    """Append-only. The first line holds the fingerprint of everything that the counts depend on.

    A run that is killed may leave half a line at the end: it is cut off when the file is opened again.
    """

    def __init__(self, path: Path, fingerprint: str, kind: type[Kept], *, restart: bool = False) -> None:
        """Open or start the file.

        Args:
            kind: Of the records.
            fingerprint: A file with another one is overwritten; see ``started_anew``.
            restart: Overwrite in any case.
        """
        self._path = path
        lines = _complete_lines(path)
        same = bool(lines) and lines[0] == _header(fingerprint)
        self.started_anew = bool(lines) and not same  # the file was of another evaluation
        records = _parse(lines[1:], kind) if same and not restart else []
        self.finished = {record.image: record for record in records}
        self._rewrite([_header(fingerprint), *map(_as_line, records)])

    def append(self, record: Kept) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(_as_line(record) + "\n")
        self.finished[record.image] = record

    def _rewrite(self, lines: list[str]) -> None:
        """In one step, so that whoever is killed here loses nothing."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_suffix(".draft")
        draft.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        draft.replace(self._path)


def take_fingerprint(model: Path | None, inputs: Mapping[str, Any], *, code: Sequence[Path] = ()) -> str:
    """A hash of the model's files, of the code that makes and counts masks, and of ``inputs`` (JSON-ready).

    Args:
        model: An archive or a folder; None where ``inputs`` hold a hash of the weights.
        code: Folders of Python files that count beside weakseg's own.
    """
    digest = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode())
    for path in [*_list_sources([Path(__file__).parent.parent, *code]), *_list_files(model)]:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def take_stamps(samples: Sequence[Stamped]) -> dict[str, list[int]]:
    """Size in bytes and time of the last change, ns, of each photo and its mask: replaced files have others."""
    files = {sample.image_id: (sample.photo.stat(), sample.mask.stat()) for sample in samples}
    return {name: [number for at in found for number in (at.st_size, at.st_mtime_ns)] for name, found in files.items()}


def _list_sources(folders: Iterable[Path]) -> list[Path]:
    found = (path for folder in folders for path in sorted(folder.rglob("*.py")))
    return [path for path in found if path.name not in _REPORTING and path.parent.name != "commands"]


def _list_files(model: Path | None) -> list[Path]:
    if model is None or model.is_file():
        return [model] if model else []
    return sorted(path for path in model.rglob("*") if path.is_file())


def _header(fingerprint: str) -> str:
    return json.dumps({"fingerprint": fingerprint})


def _as_line(record: Countable) -> str:
    return json.dumps(record.as_dict(), separators=(",", ":"))


def _parse(lines: list[str], kind: type[Kept]) -> list[Kept]:
    """Records up to the first line that is broken: photos of later lines are simply done again."""
    records = []
    for line in lines:
        try:
            records.append(kind(**json.loads(line)))
        except (ValueError, TypeError):
            break
    return records


def _complete_lines(path: Path) -> list[str]:
    if not path.is_file():
        return []
    return path.read_bytes().decode(errors="replace").split("\n")[:-1]  # what follows the last line end is half a line
