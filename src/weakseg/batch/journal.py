"""What a run has done, line by line, in the folder of its results: it outlives a kill.

JSON lines, appended one by one; the last may be cut off. ``order`` is what was asked, ``model`` what answered.
``photo`` gives a photo its number before it is sent, ``done`` holds what was found in it, ``failed`` why it failed.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import IO, Any, Self

from weakseg.batch.items import Failure
from weakseg.errors import BatchError

FILE_NAME = "journal.jsonl"
LOCK_NAME = ".lock"


class State(IntEnum):
    SEEN = 0  # it has a number
    DONE = 1
    FAILED = 2  # it will fail again
    INTERRUPTED = 3  # nobody answered: worth another try


@dataclass(slots=True)
class Entry:
    """A photo, as far as the journal knows it: small, as there is one for every photo.

    Args:
        number: From 1 on, in the order in which photos were first seen: COCO's image id.
        place: Where its latest line with a result begins in the file, bytes.
    """

    number: int
    stamp: str
    state: State = State.SEEN
    place: int = -1


class Journal:
    """Reads what there is, and appends. One process at a time may have it open; threads may share it.

    Raises:
        BatchError: another process writes to this folder, or a line other than the last is broken.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.entries: dict[str, Entry] = {}
        self.orders: list[dict[str, Any]] = []
        self.model: dict[str, Any] | None = None  # what answered last
        self._path = folder / FILE_NAME
        self._changing = threading.Lock()
        self._lock = _lock(folder)
        try:
            end = self._load() if self._path.exists() else 0
            self._file = self._path.open("ab", buffering=0)
            self._file.truncate(end)  # a line that was cut off
            self._end = end
            self._is_broken = False
        except BaseException:
            self._lock.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.fsync(self._file.fileno())
        self._file.close()
        self._lock.close()

    def begin(self, order: dict[str, Any]) -> None:
        """Note what is asked from here on."""
        self.orders.append(order)
        self._append({"order": order})

    def note_model(self, model: dict[str, Any]) -> None:
        """Note what answers from here on."""
        self.model = model
        self._append({"model": model})

    def see(self, name: str, stamp: str) -> Entry:
        """The photo's entry; it is new, or its file has changed."""
        with self._changing:
            entry = self.entries.setdefault(name, Entry(len(self.entries) + 1, stamp))
            entry.stamp, entry.state = stamp, State.SEEN
        self._append({"photo": entry.number, "name": name, "stamp": stamp})
        return entry

    def finish(self, entry: Entry, record: dict[str, Any]) -> None:
        """Note what was found; its files are in place."""
        entry.place = self._append({"done": entry.number, **record})
        entry.state = State.DONE

    def fail(self, entry: Entry, failure: Failure, record: dict[str, Any]) -> None:
        entry.place = self._append({"failed": entry.number, **failure.as_dict(), **record})
        entry.state = State.INTERRUPTED if failure.transient else State.FAILED

    def results(self, *states: State) -> Iterator[tuple[str, dict[str, Any]]]:
        """Names and latest lines of photos in these states, by number; one line at a time is in memory."""
        with self._path.open("rb") as file:
            for name, entry in sorted(self.entries.items(), key=lambda item: item[1].number):
                if entry.state in states:
                    file.seek(entry.place)
                    yield name, json.loads(file.readline())

    def count(self, *states: State) -> int:
        return sum(entry.state in states for entry in self.entries.values())

    def forget_failures(self) -> None:
        """They are to be tried again."""
        for entry in self.entries.values():
            entry.state = State.DONE if entry.state is State.DONE else State.SEEN

    def _append(self, line: dict[str, Any]) -> int:
        """Where the line begins.

        Raises:
            BatchError: it cannot be written. Nothing more is, as what follows half a line could not be read.
        """
        rest = memoryview(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        with self._changing:
            if self._is_broken:
                raise BatchError(f"{self._path} could not be written.")
            begin, self._end = self._end, self._end + len(rest)
            try:
                while rest:
                    rest = rest[self._file.write(rest) or 0 :]
            except OSError as error:
                self._is_broken = True
                raise BatchError(
                    f"{self._path} cannot be written: {error}. Mend it, and run the same command again."
                ) from error
        return begin

    def _load(self) -> int:
        """Where the last whole line ends."""
        end, names = 0, dict[int, str]()
        with self._path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    told = json.loads(line)
                    whole = line.endswith(b"\n") and isinstance(told, dict)
                except ValueError:
                    whole = False
                if not whole and file.read(1):
                    raise BatchError(
                        f"{self._path}: line {number} is damaged. Mend it, give another --out, or begin anew with"
                        " --redo."
                    )
                if not whole:
                    break
                self._replay(told, end, names)
                end += len(line)
        return end

    def _replay(self, told: dict[str, Any], place: int, names: dict[int, str]) -> None:
        if "order" in told:
            self.orders.append(told["order"])
        elif "model" in told:
            self.model = told["model"]
        elif "photo" in told:
            entry = self.entries.setdefault(told["name"], Entry(told["photo"], told["stamp"]))
            entry.stamp, entry.state = told["stamp"], State.SEEN
            names[entry.number] = told["name"]
        else:
            entry = self.entries[names[told["done"] if "done" in told else told["failed"]]]
            entry.place = place
            failed = State.INTERRUPTED if told.get("transient") else State.FAILED
            entry.state = State.DONE if "done" in told else failed


def set_aside(folder: Path) -> None:
    """Forget what was done: the journal stays as ``journal.jsonl.before``."""
    path = folder / FILE_NAME
    if path.exists():
        with _lock(folder):
            path.replace(path.with_suffix(".jsonl.before"))


def _lock(folder: Path) -> IO[bytes]:
    """Held until it is closed, or until this process ends, however it ends."""
    file = (folder / LOCK_NAME).open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise BatchError(
            f"{folder}: another weakseg batch writes to this folder. Wait for it, or give another folder with --out."
        ) from error
    return file
