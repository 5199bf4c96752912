"""Who may ask: TorchServe's keys, checked before a body is read.

TorchServe writes a key and its end for each of its APIs into key_file.json, and writes it anew when somebody makes a
new key. Its own check stays in force behind this one.
"""

from __future__ import annotations

import hmac
import json
import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from front.errors import (
    TokenExpiredError,
    TokenInvalidError,
    TokenMissingError,
    UnavailableError,
    WrongTokenError,
)

_INFERENCE = "inference"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Key:
    """One API's key and when it ends, in seconds since 1970."""

    text: str
    expires_s: float


class Tokens:
    """The keys as they are now.

    Args:
        key_file: TorchServe's; None: nobody needs a token.
    """

    def __init__(self, key_file: Path | None) -> None:
        self.key_file = key_file
        self._stamp: tuple[int, int] | None = None
        self._keys: dict[str, Key] = {}

    def check(self, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
        """The Authorization header, to be passed on; None where no token is needed.

        Args:
            headers: Lower case names and values of an ASGI scope.
        Raises:
            TokenMissingError, TokenInvalidError, TokenExpiredError, WrongTokenError: refused.
            UnavailableError: there are no keys yet.
        """
        if self.key_file is None:
            return None
        sent = next((value for name, value in headers if name == b"authorization"), None)
        self._check(sent or b"")
        return (sent or b"").decode("latin-1")

    def key(self, api: str) -> str | None:
        """The key of one API of TorchServe (``management``), for requests of the front's own."""
        self._refresh()
        found = self._keys.get(api)
        return None if found is None else found.text

    def _check(self, sent: bytes) -> None:
        self._refresh()
        scheme, _, token = sent.partition(b" ")
        token = token.strip()
        if scheme.lower() != b"bearer" or not token:
            raise TokenMissingError
        if _INFERENCE not in self._keys:
            raise UnavailableError
        kinds = [name for name, key in self._keys.items() if hmac.compare_digest(key.text.encode(), token)]
        if not kinds:
            raise TokenInvalidError
        if _INFERENCE not in kinds:
            raise WrongTokenError(kinds[0])
        if self._keys[_INFERENCE].expires_s <= datetime.now(UTC).timestamp():
            raise TokenExpiredError

    def _refresh(self) -> None:
        """Read the file again where it has changed; while it is written it is empty, and the keys stay as they are."""
        if self.key_file is None:
            return
        try:
            status = self.key_file.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            if stamp != self._stamp:
                self._keys = _parse(self.key_file.read_text(encoding="utf-8"))
                self._stamp = stamp
        except FileNotFoundError:
            self._keys, self._stamp = {}, None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            log.warning("%s cannot be read; the keys stay as they were", self.key_file)


def _parse(text: str) -> dict[str, Key]:
    found = json.loads(text)
    return {name: Key(entry["key"], _ends(entry.get("expiration time"))) for name, entry in found.items()}


def _ends(moment: str | None) -> float:
    return math.inf if not moment else datetime.fromisoformat(moment).timestamp()
