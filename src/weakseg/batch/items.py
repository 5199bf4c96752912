"""What goes through a run: photos, answers, and what went wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, Self

from weakseg.errors import RequestError, UnusablePhotoError


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a photo has no mask.

    Args:
        status: HTTP status; 0 where nothing was answered or nothing was sent.
        transient: The same request may do better later.
    """

    code: str
    message: str
    remedy: str
    field: str = ""
    status: int = 0
    transient: bool = False

    @classmethod
    def of(cls, error: UnusablePhotoError) -> Self:
        return cls(error.code, error.message, error.remedy, field="image")

    @classmethod
    def refused(cls, error: RequestError) -> Self:
        """What the pipeline would say, said before anything is sent."""
        return cls(error.code, error.message, error.remedy, error.field, error.status)

    @classmethod
    def answered(cls, status: int, body: bytes, *, transient: bool = False) -> Self:
        """From an error's body, ``{"error": {code, field, message, remedy}}`` or whatever else came."""
        try:
            told = json.loads(body)["error"]
            told = {name: str(told[name]) for name in ("code", "field", "message", "remedy")}
        except (ValueError, KeyError, TypeError, RecursionError):
            said = body[:200].decode("utf-8", "replace").strip() or "nothing"
            told = {"code": f"http_{status}", "message": f"status {status}; the body says {said!r}.", "remedy": ""}
        return cls(**told, status=status, transient=transient)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Item:
    """One photo of a source.

    Args:
        name: Relative, with slashes: see `names.safe_name`. Of a photo with a fault, as the source spells it.
        stamp: What it was when it was seen; a photo with another stamp is done again.
        read: Its bytes. Call it before the source's next photo.
        options: Of this photo alone; they win over the run's.
        fault: What is wrong with it before it is read.
    """

    name: str
    stamp: str = ""
    read: Callable[[], bytes] = bytes
    options: Mapping[str, Any] = field(default_factory=dict)
    fault: UnusablePhotoError | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of one question, after all tries.

    Args:
        failure: None: ``body`` is the answer in the format that was asked for.
    """

    body: bytes
    tries: int = 1
    failure: Failure | None = None


class Backend(Protocol):
    """Something that answers questions, several at a time."""

    retries: int  # tries beyond the first of each question, so far

    async def ask(self, image: bytes, options: Mapping[str, Any], request_id: str) -> Reply:
        """One answer; never raises for what is wrong with the photo or what the service answers.

        Raises:
            BatchError: every other photo would fare the same.
        """
        ...

    async def close(self) -> None: ...
