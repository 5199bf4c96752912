"""Tokens that whoever runs the service hands out: a file with a name, an end and a hash for each.

TorchServe makes its keys itself, anew at every start: replicas behind one address have different ones, and callers
cannot be told apart. A list of our own is the same for all replicas, can be changed while they run, and holds no token:
what leaks with it lets nobody in. A line is

    NAME  END  sha256:HASH

NAME has no spaces; END is ISO 8601 with an offset, or ``never``; empty lines and those that begin with # do not count.
`python -m scripts.tokens` writes such lines.
"""

from __future__ import annotations

import hashlib
import logging
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_PREFIX = "sha256:"
_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_DIGEST = re.compile(r"[0-9a-f]{64}")

log = logging.getLogger(__name__)


class TokenListError(Exception):
    """The file is missing or wrong. The message has file, line and remedy, and no hash."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Who may ask, and until when: seconds since 1970, infinite for ``never``."""

    name: str
    expires_s: float
    digest: bytes

    def as_line(self) -> str:
        ends = "never" if math.isinf(self.expires_s) else datetime.fromtimestamp(self.expires_s, UTC).isoformat()
        return f"{self.name} {ends} {_PREFIX}{self.digest.hex()}"


def digest_of(token: bytes) -> bytes:
    """SHA-256. Tokens are random and long, so that a slow hash would add nothing."""
    return hashlib.sha256(token).digest()


def parse_tokens(text: str, where: str) -> dict[bytes, Grant]:
    """Grants by the hash of their token.

    Args:
        where: The file's name, for messages.
    Raises:
        TokenListError: a line that is none, a name or a token that comes twice.
    """
    grants: dict[bytes, Grant] = {}
    names: set[str] = set()
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        grant = _parse_line(line, f"{where}, line {number}")
        if grant.digest in grants or grant.name in names:
            raise TokenListError(
                f"{where}, line {number}: {grant.name} or its token is there already. Remove one line."
            )
        grants[grant.digest] = grant
        names.add(grant.name)
    return grants


def read_tokens(path: Path) -> dict[bytes, Grant]:
    """As `parse_tokens`, from a file.

    Raises:
        TokenListError: it cannot be read, or a line is wrong.
    """
    try:
        return parse_tokens(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise TokenListError(f"{path} cannot be read ({error}). `python -m scripts.tokens add` writes one.") from error


class TokenList:
    """The list as it is now: read again whenever the file changes. A file that is wrong by then changes nothing."""

    def __init__(self, path: Path) -> None:
        """Raises: TokenListError: nobody could be let in, so that the service should not start."""
        self.path = path
        self._stamp = self._look()
        self._grants = read_tokens(path)

    def find(self, token: bytes) -> Grant | None:
        """Whose token it is, expired or not."""
        self._refresh()
        return self._grants.get(digest_of(token))

    def _refresh(self) -> None:
        stamp = self._look()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._grants = read_tokens(self.path)
        except TokenListError as error:
            log.warning("the tokens stay as they were: %s", error)

    def _look(self) -> tuple[int, int, int] | None:
        """Changes with the file; follows links, as a mounted Secret is changed by pointing a link elsewhere."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size


def _parse_line(line: str, where: str) -> Grant:
    words = line.split()
    if len(words) != 3 or not _NAME.fullmatch(words[0]):
        raise TokenListError(f"{where}: not NAME END {_PREFIX}HASH. `python -m scripts.tokens add` writes such lines.")
    name, ends, digest = words
    if not digest.startswith(_PREFIX) or not _DIGEST.fullmatch(digest.removeprefix(_PREFIX)):
        raise TokenListError(f"{where}: the hash of {name} is not {_PREFIX} and 64 digits of 0-9a-f. Make a new token.")
    return Grant(name, _parse_end(ends, f"{where}: the end of {name}"), bytes.fromhex(digest.removeprefix(_PREFIX)))


def _parse_end(text: str, what: str) -> float:
    if text == "never":
        return math.inf
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise TokenListError(f"{what} is no date: {text}. Write it as 2027-01-31T00:00:00+00:00, or never.") from error
    if moment.tzinfo is None:
        raise TokenListError(f"{what} has no offset from UTC: {text}. Write it as 2027-01-31T00:00:00+00:00.")
    return moment.timestamp()
