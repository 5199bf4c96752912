"""One request between the HTTP front and a worker: a JSON head and the photo's bytes; no base64, no form to parse.

``weakseg1`` (8 bytes), the head's length (4 bytes, big endian), the head (UTF-8 JSON), the photo. It exists because
TorchServe passes on neither query strings nor headers of more than 8 kB.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from weakseg.errors import MalformedBodyError

MEDIA_TYPE = "application/x-weakseg"
_MAGIC = b"weakseg1"
_LENGTH = struct.Struct(">I")
_START = len(_MAGIC) + _LENGTH.size
_KINDS: dict[str, tuple[type, ...]] = {
    "options": (dict,),
    "accept": (str, type(None)),
    "explain": (bool,),
    "request_id": (str,),
    "sent_s": (float, int),
}


@dataclass(frozen=True, slots=True)
class Head:
    """What an envelope says beside the photo.

    Args:
        options: As the caller sent them; the pipeline checks them.
        sent_s: ``time.monotonic()`` when the front sent it: the same clock for every process of a machine.
    """

    options: dict[str, Any] = field(default_factory=dict)
    accept: str | None = None
    explain: bool = False
    request_id: str = ""
    sent_s: float = 0.0


def is_envelope(headers: Mapping[str, str]) -> bool:
    """Whether a request's headers (names in any case) announce one."""
    return any(name.casefold() == "content-type" and value == MEDIA_TYPE for name, value in headers.items())


def pack(head: Head, image: bytes | None) -> bytes:
    """An envelope; None is a request without a photo, b"" one with an empty photo."""
    document = {name: getattr(head, name) for name in Head.__dataclass_fields__} | {"image": image is not None}
    encoded = json.dumps(document, separators=(",", ":")).encode()
    return b"".join((_MAGIC, _LENGTH.pack(len(encoded)), encoded, image or b""))


def unpack(body: bytes | bytearray | memoryview) -> tuple[Head, bytes | None]:
    """Head and photo of an envelope.

    Raises:
        MalformedBodyError: it is none, or cut off.
    """
    view = memoryview(body)
    try:
        if bytes(view[: len(_MAGIC)]) != _MAGIC:
            raise ValueError("it does not begin as one")
        (length,) = _LENGTH.unpack(view[len(_MAGIC) : _START])
        document = json.loads(bytes(view[_START : _START + length]))
        has_image = document.pop("image")
        head = _checked(Head(**document))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
        raise MalformedBodyError(
            f"the body is no envelope of weakseg ({error}).",
            field="body",
            remedy=f"Send the picture itself; {MEDIA_TYPE} is for weakseg's own front.",
        ) from error
    return head, bytes(view[_START + length :]) if has_image else None


def _checked(head: Head) -> Head:
    """Raises TypeError: a value of another type would fail the whole batch later."""
    for name, kinds in _KINDS.items():
        if not isinstance(getattr(head, name), kinds):
            raise TypeError(f"{name} is not as it should be")
    return head
