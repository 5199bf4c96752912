"""Photos out of a tar, one after the other as they come: nothing is unpacked to disk."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from functools import partial
from lzma import LZMAError
from pathlib import Path
from typing import Self

from weakseg.batch.items import Item
from weakseg.batch.names import is_picture, safe_name
from weakseg.errors import BatchError, UnusablePhotoError

_BROKEN = (tarfile.TarError, EOFError, zlib.error, LZMAError, OSError)


class _Member(tarfile.TarInfo):
    """Remembers in its tar why there is no next one: tarfile takes a damaged header for the end."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tar)
        except tarfile.HeaderError as error:
            tar.ended_by = error  # type: ignore[attr-defined]
            raise


def is_tar(path: Path) -> bool:
    """Plain, or compressed by gzip, bzip2 or xz."""
    try:
        return tarfile.is_tarfile(path)
    except (EOFError, zlib.error, LZMAError, OSError):  # compressed, and broken off in its first block
        return False


def read_tar(path: Path, max_bytes: int) -> Iterator[Item]:
    """Its regular members that are pictures by their endings, in their order.

    Raises:
        BatchError: the tar breaks off or is damaged; the members before that were given.
    """
    last = "its first member"
    try:
        with tarfile.open(path, "r|*", encoding="utf-8", errors="surrogateescape", tarinfo=_Member) as tar:
            for member in tar:
                if member.isreg() and is_picture(member.name):
                    last = member.name
                    yield _item(tar, member, path, max_bytes)
                tar.members = []  # type: ignore[attr-defined]  # or it remembers every member that it has read
            ended_by = tar.ended_by  # type: ignore[attr-defined]
            if not isinstance(ended_by, tarfile.EOFHeaderError):  # type: ignore[attr-defined]
                raise ended_by
    except _BROKEN as error:
        raise _broken(path, last, error) from error


def _item(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path, max_bytes: int) -> Item:
    try:
        name = safe_name(member.name)
    except UnusablePhotoError as fault:
        return Item(member.name, fault=fault)
    return Item(name, f"{member.size}-{int(member.mtime)}", partial(_read, tar, member, path, max_bytes))


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path, max_bytes: int) -> bytes:
    try:
        file = tar.extractfile(member)
        assert file is not None  # it is regular
        with file:
            return file.read(max_bytes + 1)  # one more than may be sent
    except _BROKEN as error:
        raise _broken(path, member.name, error) from error


def _broken(path: Path, last: str, error: Exception) -> BatchError:
    return BatchError(
        f"{path} breaks off or is damaged at or after {last!r} ({type(error).__name__}: {error}). Photos before it are"
        " kept; mend the tar and run the same command again."
    )
