"""What became of all photos of a folder of results: for people (``failures.csv``) and programs (``summary.json``)."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

from weakseg.batch.coco import FILE_NAME as COCO_FILE
from weakseg.batch.coco import write_coco
from weakseg.batch.journal import Journal, State
from weakseg.batch.outputs import replace_file
from weakseg.batch.tally import Tally
from weakseg.errors import BatchError

FAILED = (State.FAILED, State.INTERRUPTED)
_COLUMNS = ("id", "file_name", "status", "code", "field", "message", "remedy", "transient", "tries", "request_id")


def write_summary(
    folder: Path, journal: Journal, tally: Tally, order: dict[str, Any], *, retries: int, ended: str
) -> dict[str, Any]:
    """``coco.json``, ``failures.csv`` and ``summary.json``, from the journal.

    Args:
        order: What was asked, and of what.
        ended: ``finished``, or why not.
    Returns:
        The summary.
    Raises:
        BatchError: they cannot be written.
    """
    try:
        return _write_all(folder, journal, tally, order, retries=retries, ended=ended)
    except OSError as error:
        raise BatchError(f"{folder}: {error}. Mend it, and run the same command again.") from error


def _write_all(
    folder: Path, journal: Journal, tally: Tally, order: dict[str, Any], *, retries: int, ended: str
) -> dict[str, Any]:
    model = journal.model or {}
    categories = write_coco(folder, journal, model, order["options"])
    photos, pixels, warned = _count(journal)
    summary = {
        "ended": ended,
        "photos": len(journal.entries),
        "done": journal.count(State.DONE),
        "failed": journal.count(*FAILED),
        "unfinished": journal.count(State.SEEN),
        "failures": _write_failures(folder, journal),
        "photos_with_warnings": warned,
        "categories": [
            {"id": number, "name": name, "photos": photos[number], "pixels": pixels[number]}
            for number, name in categories.items()
        ],
        "this_start": {
            "done": tally.done,
            "failed": tally.failed,
            "skipped": tally.skipped,
            "repeated_names": tally.repeated,
            "retries": retries,
            "seconds": round(tally.elapsed_s, 3),
            "photos_per_second": round((tally.done + tally.failed) / max(tally.elapsed_s, 1e-9), 3),
        },
        "asked": order,
        "model": {name: value for name, value in model.items() if name != "legend"},
        "coco": COCO_FILE,
    }
    text = json.dumps(summary, indent=2) + "\n"
    replace_file(folder / "summary.json", text.encode(), draft=".summary.json.part")
    return summary


def _count(journal: Journal) -> tuple[Counter[int], Counter[int], int]:
    """Photos and pixels of each category, and photos with warnings."""
    photos, pixels, warned = Counter[int](), Counter[int](), 0
    for _, record in journal.results(State.DONE):
        warned += bool(record["warnings"])
        for segment in record["segments"]:
            photos[segment["category_id"]] += bool(segment["area"])
            pixels[segment["category_id"]] += segment["area"]
    return photos, pixels, warned


def _write_failures(folder: Path, journal: Journal) -> dict[str, int]:
    """How many failed with each code."""
    codes = Counter[str]()
    draft = folder / ".failures.csv.part"
    with draft.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        table = csv.DictWriter(file, _COLUMNS, extrasaction="ignore", restval="")
        table.writeheader()
        for name, record in journal.results(*FAILED):
            codes[record["code"]] += 1
            table.writerow({**record, "id": record["failed"], "file_name": name})
    draft.replace(folder / "failures.csv")
    return dict(codes.most_common())
