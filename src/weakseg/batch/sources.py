"""Where photos come from: a folder, a list or a tar. Each gives one photo after the other, and holds none."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from weakseg.batch.items import Item
from weakseg.batch.names import is_picture, name_of, safe_name
from weakseg.batch.tars import is_tar, read_tar
from weakseg.codec.decode import Limits
from weakseg.codec.signatures import ACCEPTED
from weakseg.errors import BatchError, RequestError, UnusablePhotoError
from weakseg.options import parse_options

MAX_BYTES = Limits().max_bytes
STDIN = "-"
_LINE_KEYS = {"path", "name", "options"}


@dataclass(frozen=True, slots=True)
class Source:
    """Photos in an order that is always the same.

    Args:
        place: Where they are, absolute.
        items: Starts anew with every call.
        count: How many there are; None where only reading all of it would tell.
    """

    place: str
    items: Callable[[], Iterator[Item]]
    count: int | None


def open_source(given: str, *, base: Path, leave_out: Path) -> Source:
    """A folder, a tar (plain, gzip, bzip2 or xz), or a text file of paths; ``-``: paths from stdin.

    Args:
        base: Listed paths are relative to it.
        leave_out: A folder whose pictures are no photos: the results.
    Raises:
        BatchError: it is none of these.
    """
    if given == STDIN:
        lines = sys.stdin.buffer.read().splitlines()
        return Source(STDIN, partial(read_list, lines, base), len(lines))
    path = Path(given).absolute()
    if path.is_dir():
        walk = partial(walk_folder, path, leave_out.absolute())
        return Source(str(path), walk, sum(1 for _ in walk()))
    if not path.is_file():
        raise BatchError(f"{given}: there is no such folder or file. Give a folder, a list of paths, or a tar.")
    if is_tar(path):
        return Source(str(path), partial(read_tar, path, MAX_BYTES), None)
    with path.open("rb") as file:
        _refuse_binary(file, given)
        count = sum(1 for line in file if line.strip())
    return Source(str(path), partial(_read_list_file, path, base), count)


def walk_folder(folder: Path, leave_out: Path) -> Iterator[Item]:
    """Pictures by their endings, folder by folder in the order of their names; links to folders are not followed."""
    yield from _walk(folder, "", leave_out)


def _walk(folder: Path, prefix: str, leave_out: Path) -> Iterator[Item]:
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        yield Item(prefix, fault=_unreadable(error))
        return
    for entry in entries:
        name = prefix + entry.name
        if entry.is_dir(follow_symlinks=False):
            if not entry.name.startswith(".") and Path(entry.path) != leave_out:
                yield from _walk(Path(entry.path), name + "/", leave_out)
        elif is_picture(entry.name) and not entry.is_dir():
            yield _file(Path(entry.path), lambda name=name: safe_name(name), name)  # type: ignore[misc]


def _read_list_file(path: Path, base: Path) -> Iterator[Item]:
    with path.open("rb") as file:
        yield from read_list(file, base)


def read_list(lines: IO[bytes] | list[bytes], base: Path) -> Iterator[Item]:
    """One photo per line: a path, or a JSON object ``{"path": ..., "options": {...}, "name": ...}``.

    ``name``, which names the results, is the path where it is not given.
    """
    for number, line in enumerate(lines, start=1):
        text = os.fsdecode(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line).strip("\r\n")
        if text.strip():
            yield _listed(text, number, base)


def _listed(text: str, number: int, base: Path) -> Item:
    if not text.startswith("{"):
        return _file(base / text, lambda: name_of(Path(text), base), text)
    try:
        told = json.loads(text)
        if not isinstance(told.get("path"), str) or told.keys() - _LINE_KEYS:
            raise ValueError(f"keys are {', '.join(sorted(_LINE_KEYS))}, and path is needed")
        options, name = told.get("options", {}), told.get("name", told["path"])
        if not isinstance(options, dict) or not isinstance(name, str):
            raise ValueError("options is an object, and name a text")
        parse_options(options)
    except (ValueError, RecursionError, AttributeError, RequestError) as error:
        fault = UnusablePhotoError(
            f"line {number} of the list is no description of a photo: {error}",
            code="list_malformed",
            remedy='Write {"path": "a/1.jpg", "options": {"classes": "dog"}}.',
        )
        return Item(text[:200], fault=fault)
    return _file(base / told["path"], lambda: name_of(Path(name), base), name, options)


def _file(path: Path, find_name: Callable[[], str], spelled: str, options: Mapping[str, Any] | None = None) -> Item:
    try:
        name, found = find_name(), path.stat()
        stamp = f"{found.st_size}-{found.st_mtime_ns}"
        if options:
            stamp += "-" + hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:12]
        return Item(name, stamp, partial(_read_file, path), options or {})
    except UnusablePhotoError as fault:
        return Item(spelled, fault=fault)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        return Item(spelled, fault=_unreadable(error))


def _read_file(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            raise OSError("it is no file")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)  # one more than may be sent
    except OSError as error:
        raise _unreadable(error) from error


def _unreadable(error: Exception) -> UnusablePhotoError:
    return UnusablePhotoError(
        f"it cannot be read: {error}.", code="file_unreadable", remedy="Check the path and its permissions."
    )


def _refuse_binary(file: IO[bytes], given: str) -> None:
    """Paths have no NUL; nearly every picture has one in its first bytes."""
    if b"\0" in file.read(4096):
        raise BatchError(
            f"{given} is neither a list of paths nor a tar. Give a folder of {', '.join(ACCEPTED)} files, a tar of"
            " them, or a text file with one path per line; for a single photo there is `weakseg segment`."
        )
    file.seek(0)
