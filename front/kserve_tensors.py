"""Bodies of the Open Inference Protocol v2: a JSON head, and tensors in it or, in binary, behind it."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError

from weakseg.errors import AnswerTooLargeError, MalformedBodyError, RequestError
from weakseg.wire import check_breadth

HEADER_LENGTH = "Inference-Header-Content-Length"
MAX_JSON_VALUES = 4_000_000  # numbers of a tensor as JSON text: 16 MB of it, and half a second to read or write
_LENGTH = struct.Struct("<I")  # before each element of a BYTES tensor in binary


class RequestInput(BaseModel):
    """One tensor of a request; ``blob`` is its binary data."""

    model_config = ConfigDict(strict=True)

    name: str
    shape: list[NonNegativeInt] = Field(max_length=8)
    datatype: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    data: list[Any] | None = None
    _blob: bytes | None = None

    @property
    def blob(self) -> bytes | None:
        return self._blob

    def attach(self, blob: bytes) -> None:
        self._blob = blob


class RequestOutput(BaseModel):
    """A tensor that is wanted."""

    model_config = ConfigDict(strict=True)

    name: str
    parameters: dict[str, Any] = Field(default_factory=dict)


class InferRequest(BaseModel):
    """The JSON head of a request; what the protocol does not know is ignored."""

    model_config = ConfigDict(strict=True)

    id: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    inputs: list[RequestInput] = Field(min_length=1, max_length=16)
    outputs: list[RequestOutput] | None = Field(default=None, max_length=16)

    def wants_binary(self, output: str) -> bool:
        """Whether this output goes behind the head: its own ``binary_data``, else the request's ``binary_data_output``.

        Raises:
            MalformedBodyError: the parameter is not true or false.
        """
        where, chosen = "parameters.binary_data_output", self.parameters.get("binary_data_output", False)
        for wanted in self.outputs or ():
            if wanted.name == output and "binary_data" in wanted.parameters:
                where, chosen = f"outputs[{output}].parameters.binary_data", wanted.parameters["binary_data"]
        if not isinstance(chosen, bool):
            raise MalformedBodyError(f"{str(chosen)[:80]!r} is not valid.", field=where, remedy="Send true or false.")
        return chosen


@dataclass(frozen=True, slots=True)
class Output:
    """One tensor of an answer.

    Args:
        values: (N, H, W) uint8 for UINT8; N elements for BYTES.
        text: The elements as JSON has them; None: they are not text, so that JSON gets base64.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: NDArray[np.uint8] | Sequence[bytes]
    parameters: dict[str, Any] = field(default_factory=dict)
    text: Sequence[str] | None = None


def read_infer_request(body: bytes, header_length: str | None) -> InferRequest:
    """Head and tensors of a body.

    Args:
        header_length: Header ``Inference-Header-Content-Length``; None: all of the body is JSON.
    Raises:
        MalformedBodyError: the head is not JSON, lacks something, or does not fit the binary data behind it.
    """
    length = len(body) if header_length is None else _read_length(header_length, len(body))
    request = _parse_head(body[:length])
    start = length
    for tensor in request.inputs:
        if "binary_data_size" not in tensor.parameters:
            continue
        end = start + _binary_size(tensor)
        if end > len(body):
            raise MalformedBodyError(
                f"its binary data ends {end - len(body)} bytes behind the body.",
                field=f"inputs[{tensor.name[:40]}].parameters.binary_data_size",
                remedy=f"Send as many bytes as it says, and header {HEADER_LENGTH} with the length of the JSON head.",
            )
        tensor.attach(body[start:end])
        start = end
    if start != len(body):
        raise MalformedBodyError(
            f"{len(body) - start} bytes follow that belong to no input.",
            field="body",
            remedy="Say binary_data_size for each input that is sent in binary.",
        )
    return request


def split_elements(tensor: RequestInput) -> list[bytes]:
    """The elements of a BYTES tensor in binary: each a little-endian uint32 length, then as many bytes.

    Raises:
        MalformedBodyError: a length leads out of the data.
    """
    blob, start = tensor.blob or b"", 0
    elements: list[bytes] = []
    while start < len(blob):
        try:
            (length,) = _LENGTH.unpack_from(blob, start)
        except struct.error:
            length = len(blob)
        start += _LENGTH.size
        if start + length > len(blob):
            raise MalformedBodyError(
                f"element {len(elements)} is cut off.",
                field=f"inputs[{tensor.name[:40]}]",
                remedy="Send each element as a 4-byte little-endian length and as many bytes.",
            )
        elements.append(blob[start : start + length])
        start += length
    return elements


def write_infer_response(head: dict[str, Any], outputs: Sequence[Output], binary: frozenset[str]) -> tuple[bytes, int]:
    """Body of an answer, and the length of its JSON head: that of the body where nothing is binary.

    Args:
        binary: Names of outputs that go behind the head.
    Raises:
        AnswerTooLargeError: a tensor of so many numbers goes into JSON.
    """
    blobs, described = [], []
    for output in outputs:
        document: dict[str, Any] = {"name": output.name, "datatype": output.datatype, "shape": list(output.shape)}
        parameters = dict(output.parameters)
        if output.name in binary:
            blob = _as_binary(output)
            blobs.append(blob)
            parameters["binary_data_size"] = len(blob)
        else:
            document["data"] = _as_json(output)
            if output.datatype == "BYTES" and output.text is None:
                parameters["encoding"] = "base64"
        described.append(document | ({"parameters": parameters} if parameters else {}))
    encoded = json.dumps(head | {"outputs": described}, separators=(",", ":")).encode()
    return b"".join([encoded, *blobs]), len(encoded)


def _read_length(text: str, body_length: int) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 18 or int(text) > body_length:
        raise MalformedBodyError(
            f"{text[:40]!r} is no length of a part of this body of {body_length} bytes.",
            field=HEADER_LENGTH,
            remedy="Send the length of the JSON head in bytes.",
        )
    return int(text)


def _parse_head(encoded: bytes) -> InferRequest:
    check_breadth(encoded, MAX_JSON_VALUES)
    try:
        return InferRequest.model_validate_json(encoded)
    except ValidationError as error:
        raise as_body_error(
            error, 'Send {"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", ...}]}.'
        ) from (error)


def as_body_error(error: ValidationError, remedy: str) -> RequestError:
    """What pydantic found first, in this project's words."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])[:80]
    return MalformedBodyError(f"{first['msg'][:200]}.", field=where or "body", remedy=remedy)


def _binary_size(tensor: RequestInput) -> int:
    size = tensor.parameters["binary_data_size"]
    if isinstance(size, bool) or not isinstance(size, int) or size < 0 or tensor.data is not None:
        raise MalformedBodyError(
            f"{str(size)[:80]!r} is not valid here.",
            field=f"inputs[{tensor.name[:40]}].parameters.binary_data_size",
            remedy="Send the number of bytes behind the JSON head, and no 'data' beside it.",
        )
    return size


def _as_binary(output: Output) -> bytes:
    if isinstance(output.values, np.ndarray):
        return output.values.tobytes()
    return b"".join(part for element in output.values for part in (_LENGTH.pack(len(element)), element))


def _as_json(output: Output) -> list[Any]:
    if isinstance(output.values, np.ndarray):
        if output.values.size > MAX_JSON_VALUES:
            raise AnswerTooLargeError(
                f"{output.values.size:,} numbers are too many for JSON.",
                field=f"outputs[{output.name}]",
                remedy="Ask for it with binary_data=true, or for output answer, which has run lengths.",
            )
        return output.values.ravel().tolist()
    if output.text is not None:
        return list(output.text)
    return [base64.b64encode(element).decode("ascii") for element in output.values]
