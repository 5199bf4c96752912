"""A note beside masks that says how they were made: one folder holds masks of one kind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from weakseg.errors import DataError

NOTE = "made_by.json"


def claim(folder: Path, made_by: Mapping[str, Any]) -> None:
    """Write the note, or check the one that is there; makes the folder.

    Args:
        made_by: Field to value, JSON-ready.
    Raises:
        DataError: the folder's masks were made otherwise, or nothing says how; names the field and both values.
    """
    note = folder / NOTE
    wanted = json.loads(json.dumps(made_by))  # as it is read back: lists, not tuples
    if note.is_file():
        _refuse_mixture(note, wanted)
        return
    if any(folder.glob("*.png")):
        raise DataError(f"{folder} has masks, but no {NOTE} that says how they were made. {_remedy(folder)}")
    folder.mkdir(parents=True, exist_ok=True)
    partial = note.with_suffix(".part")
    partial.write_text(json.dumps(wanted, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(note)


def _refuse_mixture(note: Path, wanted: Mapping[str, Any]) -> None:
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{note} cannot be read: {error}. {_remedy(note.parent)}") from error
    found = found if isinstance(found, dict) else {}
    for field, value in wanted.items():
        if found.get(field) != value:
            raise DataError(
                f"{note.parent} has masks made with {field} = {json.dumps(found.get(field))}, and {field} = "
                f"{json.dumps(value)} is asked for now. {_remedy(note.parent)}"
            )


def _remedy(folder: Path) -> str:
    return f"Give another --out, or delete {folder}."
