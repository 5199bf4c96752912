"""KServe's Open Inference Protocol v2 with binary tensors, as far as one photo needs it: written from the protocol."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping

HEADER_LENGTH = "Inference-Header-Content-Length"
_LENGTH = struct.Struct("<I")  # before each element of a BYTES tensor


def write_request(image: bytes, options: Mapping[str, str]) -> tuple[bytes, int]:
    """The body that asks for a model's whole answer, and the length of its JSON head."""
    tensor = _LENGTH.pack(len(image)) + image
    head = {
        "parameters": dict(options),
        "inputs": [
            {"name": "image", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(tensor)}}
        ],
        "outputs": [{"name": "answer", "parameters": {"binary_data": True}}],
    }
    encoded = json.dumps(head).encode()
    return encoded + tensor, len(encoded)


def read_answer(body: bytes, head_length: int) -> bytes:
    """The model's answer out of a body with one BYTES tensor of one element.

    Raises:
        ValueError: it is another.
    """
    head = json.loads(body[:head_length])
    (output,) = head["outputs"]
    if (output["name"], output["datatype"], output["shape"]) != ("answer", "BYTES", [1]):
        raise ValueError(f"an output {output} instead of one answer")
    tensor = body[head_length:]
    if output["parameters"]["binary_data_size"] != len(tensor) or _LENGTH.unpack(tensor[:4])[0] != len(tensor) - 4:
        raise ValueError(f"a tensor of {len(tensor)} bytes, which its head and its length deny")
    return tensor[4:]
