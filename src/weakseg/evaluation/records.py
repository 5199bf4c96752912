"""Counts of finished photos on disk, one JSON line each, so that a run that was stopped can go on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar


class Countable(Protocol):
    """A dataclass of what one photo adds to the results; made again by ``kind(**record.as_dict())``."""

    image: str

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""


Kept = TypeVar("Kept", bound=Countable)

# Changing these files changes no count.
_REPORTING = {"cli.py", "report.py", "run.py", "results.py", "tables.py", "plots.py", "gallery.py", "page.py"}


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


def take_fingerprint(model: Path, inputs: Mapping[str, Any]) -> str:
    """A hash of the model's files, of the code that makes and counts masks, and of ``inputs`` (JSON-ready)."""
    digest = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode())
    code = Path(__file__).parent.parent
    sources = [path for path in code.rglob("*.py") if path.name not in _REPORTING and path.parent.name != "commands"]
    files = [model] if model.is_file() else [path for path in model.rglob("*") if path.is_file()]
    for path in sorted(sources) + sorted(files):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


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
