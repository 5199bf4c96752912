"""Replies of workers to the output tensors of the Open Inference Protocol v2."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from front.kserve_asking import check_output_bytes
from front.kserve_tensors import InferRequest, Output
from front.replies import Reply
from weakseg.codec.coco import decode_rle
from weakseg.errors import MalformedBodyError, OptionValueError

MASK, SEGMENTS, ANSWER = "mask", "segments", "answer"
OUTPUTS = (MASK, SEGMENTS, ANSWER)
_OF_MASKS = ("json", "mask")  # formats that hold the mask
_SEGMENT = ("value", "label", "score", "area_px")  # of a segment: what every format says of it
_PNG, _JSON = "image/png", "application/json"


def choose_outputs(request: InferRequest, options: dict[str, Any]) -> tuple[str, ...]:
    """Which outputs go back, in the order that was asked for; all that the format allows where none is named.

    Raises:
        MalformedBodyError: an unknown output, or one that is named twice.
        OptionValueError: the mask is wanted from a format that does not hold it.
    """
    asked = options.get("format")
    holds_mask = asked is None or str(asked).strip().casefold() in _OF_MASKS
    if not request.outputs:
        return OUTPUTS if holds_mask else (SEGMENTS, ANSWER)
    names = tuple(output.name for output in request.outputs)
    for place, name in enumerate(names):
        if name not in OUTPUTS or name in names[:place]:
            raise MalformedBodyError(
                f"{name[:40]!r} is no output, or named twice.",
                field=f"outputs[{place}].name",
                remedy=f"Ask for some of {', '.join(OUTPUTS)}, each once, or leave outputs out.",
            )
    if MASK in names and not holds_mask:
        raise OptionValueError(
            f"format {str(asked)[:40]!r} holds no mask.",
            field="format",
            remedy=f"Ask for output {ANSWER} alone, or send no format, mask or json.",
        )
    return names


def accept_for(names: tuple[str, ...]) -> str:
    """The Accept header of a worker's request, where no format is asked for."""
    return _JSON if ANSWER in names else _PNG


def make_outputs(names: tuple[str, ...], replies: Sequence[Reply]) -> list[Output]:
    """The output tensors of these replies, one element each.

    Raises:
        AnswerTooLargeError: all together are larger than an answer may be.
        MalformedBodyError: masks of different sizes are wanted as one tensor.
    """
    makers = {MASK: _mask_output, SEGMENTS: _segments_output, ANSWER: _answer_output}
    answered = [_Answered(reply) for reply in replies]
    return [makers[name](answered) for name in names]


class _Answered:
    """One photo's reply, read once."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self._document: dict[str, Any] | None = json.loads(reply.body) if reply.content_type == _JSON else None

    def size(self) -> tuple[int, int]:
        """(H, W) of the photo; of a picture, the header alone is read."""
        if self._document is not None:
            return self._document["image"]["height"], self._document["image"]["width"]
        with Image.open(io.BytesIO(self.reply.body)) as picture:
            return picture.height, picture.width

    def mask(self) -> NDArray[np.uint8]:
        """(H, W) uint8: 0 is background, else the ``value`` of a segment."""
        if self._document is None:
            with Image.open(io.BytesIO(self.reply.body)) as picture:
                return np.asarray(picture)  # indices into the palette
        mask = np.zeros(self.size(), np.uint8)
        for segment in self._document["segments"]:
            mask[decode_rle(segment["rle"])] = segment["value"]
        return mask

    def segments(self) -> list[dict[str, Any]]:
        if self._document is None:
            segments = json.loads(self.reply.headers["x-weakseg-segments"])
        else:
            segments = self._document["segments"]
        return [{name: segment[name] for name in _SEGMENT} for segment in segments]


def _mask_output(answered: Sequence[_Answered]) -> Output:
    """UINT8 (N, H, W)."""
    sizes = [one.size() for one in answered]
    if len(set(sizes)) > 1:
        raise MalformedBodyError(
            f"photos of {len(set(sizes))} sizes have masks of as many, which make no tensor.",
            field=f"outputs[{MASK}]",
            remedy=f"Send photos of one size, one request for each, or ask for output {ANSWER}.",
        )
    height, width = sizes[0]
    check_output_bytes(len(answered) * height * width, f"outputs[{MASK}]")
    masks = np.stack([one.mask() for one in answered])  # (N, H, W)
    return Output(MASK, "UINT8", masks.shape, masks)


def _segments_output(answered: Sequence[_Answered]) -> Output:
    """BYTES (N,): per photo a JSON list of its segments."""
    texts = [json.dumps(one.segments(), separators=(",", ":")) for one in answered]
    return Output(SEGMENTS, "BYTES", (len(texts),), [text.encode() for text in texts], text=texts)


def _answer_output(answered: Sequence[_Answered]) -> Output:
    """BYTES (N,): the bodies as the workers made them."""
    bodies = [one.reply.body for one in answered]
    content_type = answered[0].reply.content_type
    text = [body.decode() for body in bodies] if content_type == _JSON else None
    return Output(ANSWER, "BYTES", (len(bodies),), bodies, {"content_type": content_type}, text)
