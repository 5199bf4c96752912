"""What the load test asks: good requests of every kind, and bad ones with the error that they must get."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import urlencode

import requests

from tests.load import kserve
from tests.load.photos import Photo
from weakseg.archive import DEFAULT_MODEL

FORMATS = ("mask", "mask", "mask", "json", "json", "cutout", "overlay", "heatmap", "npz")  # as often as it is listed
BAD_SHARE = 0.1
VARIETY = 60  # different good requests


class Transport(StrEnum):
    RAW = "raw body, options as headers"
    FORM = "multipart form"
    JSON = "JSON with base64"
    QUERY = "raw body, options in the query string"
    KSERVE = "KServe v2, binary"


OF_PREDICTIONS = (Transport.RAW, Transport.FORM, Transport.JSON)  # whose options no URL holds


@dataclass(frozen=True, slots=True)
class GoodRequest:
    photo: Photo
    options: Mapping[str, str]
    transport: Transport
    model: str = DEFAULT_MODEL

    @property
    def key(self) -> str:
        """Requests with the same key must get the same mask, however they are sent and whatever shares their batch.

        But for rounding: see `tests.load.checks.find_change`.
        """
        return f"{self.model} {self.photo.name} {sorted(self.options.items())}"

    @property
    def path(self) -> str:
        """Where it is sent, from the service's root on."""
        if self.transport is Transport.KSERVE:
            return f"/v2/models/{self.model}/infer"
        query = f"?{urlencode(self.options)}" if self.transport is Transport.QUERY else ""
        return f"/predictions/{self.model}{query}"

    def encode(self) -> tuple[bytes, dict[str, str]]:
        """Body and headers, for any client."""
        prepared = requests.Request("POST", "http://weakseg", **self.arguments()).prepare()
        body = prepared.body.encode() if isinstance(prepared.body, str) else bytes(prepared.body or b"")
        return body, {name: value for name, value in prepared.headers.items() if name != "Content-Length"}

    def arguments(self) -> dict[str, Any]:
        """For ``requests.post``."""
        if self.transport is Transport.KSERVE:
            body, head_length = kserve.write_request(self.photo.encoded, self.options)
            headers = {"Content-Type": "application/octet-stream", kserve.HEADER_LENGTH: str(head_length)}
            return {"data": body, "headers": headers}
        if self.transport is Transport.QUERY:
            return {"data": self.photo.encoded, "headers": {"Content-Type": self.photo.media_type}}
        if self.transport is Transport.FORM:
            return {"files": {"image": ("photo", self.photo.encoded, self.photo.media_type)}, "data": self.options}
        if self.transport is Transport.JSON:
            document = {"image": base64.b64encode(self.photo.encoded).decode(), **self.options}
            return {"data": json.dumps(document), "headers": {"Content-Type": "application/json"}}
        headers = {f"X-Weakseg-{name.replace('_', '-')}": value for name, value in self.options.items()}
        return {"data": self.photo.encoded, "headers": {"Content-Type": self.photo.media_type, **headers}}


@dataclass(frozen=True, slots=True)
class BadRequest:
    body: bytes
    status: int
    code: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def arguments(self) -> dict[str, Any]:
        """For ``requests.post``."""
        return {"data": self.body, "headers": {"Content-Type": "application/octet-stream", **self.headers}}


def make_bad_requests(photo: Photo) -> list[BadRequest]:
    """One per kind of mistake.

    Args:
        photo: A good JPEG.
    """
    good = photo.encoded
    return [
        BadRequest(b"This is no picture.", 415, "image_unreadable"),
        BadRequest(good[: len(good) // 2], 400, "image_truncated"),
        BadRequest(good, 400, "class_unknown", {"X-Weakseg-Classes": "unicorn"}),
        BadRequest(good, 400, "option_invalid", {"X-Weakseg-Threshold": "very"}),
        BadRequest(good, 400, "option_invalid", {"X-Weakseg-Box": "0,0,99999,99999"}),
        BadRequest(good, 400, "option_invalid", {"X-Weakseg-Budget-Ms": "soon"}),
        BadRequest(good, 400, "option_unknown", {"X-Weakseg-Colour": "red"}),
        BadRequest(good, 406, "format_not_acceptable", {"Accept": "text/html"}),
    ]


def draw_request(
    chance: random.Random,
    photos: Sequence[Photo],
    labels: Sequence[str],
    *,
    model: str = DEFAULT_MODEL,
    transports: Sequence[Transport] = OF_PREDICTIONS,
) -> GoodRequest:
    """A good request at random: one of VARIETY questions, so that each is asked again, sent in any of the ways.

    Args:
        labels: Names that the model knows.
    """
    transport = chance.choice(transports)
    question = random.Random(chance.randrange(VARIETY))
    photo = question.choice(photos)
    options = {"format": question.choice(FORMATS), **_draw_task(question, photo, labels), **_draw_refinement(question)}
    return GoodRequest(photo, options, transport, model)


def _draw_task(chance: random.Random, photo: Photo, labels: Sequence[str]) -> dict[str, str]:
    width, height = photo.size_wh
    box = {"box": f"{width // 5},{height // 4},{width - 3},{height - 7}"}
    one, two = chance.choice(labels), ",".join(chance.sample(labels, min(2, len(labels))))
    return chance.choice([{}, {}, {"classes": one}, {"classes": two}, box, {"classes": one, **box}])


def _draw_refinement(chance: random.Random) -> dict[str, str]:
    """Not refine=auto: what it chooses depends on the load."""
    without: dict[str, str] = {"refine": "none"}
    engines = {"refine": "crf+grabcut", "crf_engine": "fastest", "grabcut_engine": "fast"}
    with_threshold = {"refine": "none", "threshold": "0.5"}
    return chance.choice(
        [{}, without, without, with_threshold, {"grabcut_mode": "f_pf"}, {"refine": "guided"}, engines]
    )
