"""Who may ask: TorchServe's keys, or a list of tokens, checked before a body is read.

TorchServe writes a key and its end for each of its APIs into key_file.json, and writes it anew when somebody makes a
new key. Its own check stays in force behind this one: who is on the list is let in there with TorchServe's key.
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

from front import logs
from front.errors import (
    TokenExpiredError,
    TokenInvalidError,
    TokenMissingError,
    UnavailableError,
    WrongTokenError,
)
from front.token_list import TokenList

_INFERENCE, _MANAGEMENT = "inference", "management"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Key:
    """One API's key and when it ends, in seconds since 1970."""

    text: str
    expires_s: float


class Tokens:
    """The keys as they are now.

    Args:
        key_file: TorchServe's; None: it asks for none.
        callers: Who else may ask; None: nobody, so that TorchServe's inference key is asked for, or nothing.
    """

    def __init__(self, key_file: Path | None, callers: TokenList | None = None) -> None:
        self.key_file, self.callers = key_file, callers
        self._stamp: tuple[int, int] | None = None
        self._keys: dict[str, Key] = {}

    def check(self, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
        """The Authorization header for TorchServe; None where it needs none.

        Args:
            headers: Lower case names and values of an ASGI scope.
        Raises:
            TokenMissingError, TokenInvalidError, TokenExpiredError, WrongTokenError: refused.
            UnavailableError: there are no keys yet.
        """
        if self.key_file is None and self.callers is None:
            return None
        sent = next((value for name, value in headers if name == b"authorization"), b"")
        scheme, _, token = sent.partition(b" ")
        token = token.strip()
        if scheme.lower() != b"bearer" or not token:
            raise TokenMissingError
        if self.callers is None:
            self._check_key(token)
            return f"Bearer {token.decode('latin-1')}"  # TorchServe knows no "bearer", and no blank at the end
        self._check_caller(self.callers, token)
        return self._own_header()

    def key(self, api: str) -> str | None:
        """The key of one API of TorchServe (``management``), for requests of the front's own."""
        self._refresh()
        found = self._keys.get(api)
        return None if found is None else found.text

    def ending(self, until_s: float) -> list[str]:
        """APIs whose keys are the front's to renew, and end before this moment, in seconds since 1970."""
        self._refresh()
        ours = (_MANAGEMENT,) if self.callers is None else (_MANAGEMENT, _INFERENCE)
        return [api for api in ours if api in self._keys and self._keys[api].expires_s < until_s]

    def _check_caller(self, callers: TokenList, token: bytes) -> None:
        grant = callers.find(token)
        if grant is None:
            raise TokenInvalidError
        logs.current().caller = grant.name
        if grant.expires_s <= datetime.now(UTC).timestamp():
            raise TokenExpiredError

    def _own_header(self) -> str | None:
        if self.key_file is None:
            return None
        key = self.key(_INFERENCE)
        if key is None:
            raise UnavailableError
        return f"Bearer {key}"

    def _check_key(self, token: bytes) -> None:
        self._refresh()
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
