"""The photos of a KServe request: encoded pictures, base64 of them, or bare pixels, to what a worker decodes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from front.kserve_tensors import InferRequest, RequestInput, split_elements
from weakseg.codec.decode import Limits
from weakseg.errors import ImageTooLargeError, MalformedBodyError, MissingImageError, UnknownOptionError
from weakseg.wire import decode_base64

INPUT = "image"
MAX_PHOTOS = 32  # of one request; a model's queue holds 100
_KNOWN_PARAMETERS = {"binary_data_size", "content_type"}  # content_type: a hint of some clients, which we need not
_LIMITS = Limits()
_BMP_HEAD = 54


def read_photos(request: InferRequest) -> list[bytes]:
    """The encoded picture of each photo.

    Input ``image`` is BYTES of N encoded pictures (as JSON: base64), or UINT8 (N, H, W, 3) or (H, W, 3), RGB.

    Raises:
        RequestError: no such input or another one, a tensor of another type or shape, data that do not fill it.
    """
    tensor = _only_input(request)
    unknown = sorted(tensor.parameters.keys() - _KNOWN_PARAMETERS)
    if unknown:
        raise UnknownOptionError(
            f"{unknown[0][:80]!r} is no parameter of an input.",
            field=f"inputs[{INPUT}].parameters",
            remedy="Send the data in the body, and options in the parameters of the request.",
        )
    if tensor.datatype == "BYTES":
        return _encoded_pictures(tensor)
    if tensor.datatype == "UINT8":
        return [encode_pixels(rgb, place) for place, rgb in enumerate(_pixels(tensor))]
    raise _tensor_error(f"{tensor.datatype[:40]!r} is no type for photos.", "datatype")


def check_count(count: int, field: str) -> None:
    """Raises MissingImageError, MalformedBodyError: no photo, or more than MAX_PHOTOS."""
    if count == 0:
        raise MissingImageError("there is no photo.", field=field, remedy=f"Send 1 to {MAX_PHOTOS}.")
    if count > MAX_PHOTOS:
        raise MalformedBodyError(
            f"{count:,} photos are too many.", field=field, remedy=f"Send at most {MAX_PHOTOS} in one request."
        )


def encode_pixels(rgb: NDArray[np.uint8], place: int) -> bytes:
    """(H, W, 3) uint8 as BMP, which costs a copy; as PNG where a BMP would be a larger file than a worker takes.

    Raises:
        ImageTooLargeError: more pixels than a worker takes.
    """
    height, width, _ = rgb.shape
    if height * width > _LIMITS.max_pixels:
        raise ImageTooLargeError(
            f"photo {place} has {width} x {height} pixels, more than {_LIMITS.max_pixels:,}.",
            field=f"inputs[{INPUT}]",
            remedy="Send a smaller photo.",
        )
    buffer = io.BytesIO()
    row_bytes = (3 * width + 3) // 4 * 4
    if row_bytes * height + _BMP_HEAD <= _LIMITS.max_bytes:
        Image.fromarray(rgb).save(buffer, "BMP")
    else:
        Image.fromarray(rgb).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _only_input(request: InferRequest) -> RequestInput:
    names = [tensor.name for tensor in request.inputs]
    if names != [INPUT]:
        shown = ", ".join(repr(name[:40]) for name in names)
        raise MalformedBodyError(
            f"the inputs are {shown}.",
            field="inputs",
            remedy=f"Send one input, {INPUT!r}, and options in the parameters of the request.",
        )
    return request.inputs[0]


def _encoded_pictures(tensor: RequestInput) -> list[bytes]:
    count = int(np.prod(tensor.shape, dtype=object)) if tensor.shape else 0
    check_count(count, f"inputs[{INPUT}]")
    if tensor.blob is not None:
        pictures: Sequence[bytes] = split_elements(tensor)
        if len(pictures) != count:
            raise _tensor_error(f"{len(pictures)} elements do not fill shape {tensor.shape}.", "shape")
        return list(pictures)
    texts = _flatten(tensor.data or [])
    if len(texts) != count:
        raise _tensor_error(f"{len(texts)} elements do not fill shape {tensor.shape}.", "shape")
    return [decode_base64(text, field=f"inputs[{INPUT}].data[{place}]") for place, text in enumerate(texts)]


def _flatten(data: Sequence[Any]) -> list[Any]:
    """Elements of nested lists, in order; stops once there are more than any request may have."""
    found: list[Any] = []
    waiting: list[Any] = list(reversed(data))
    while waiting and len(found) <= MAX_PHOTOS:
        item = waiting.pop()
        if isinstance(item, list):
            waiting.extend(reversed(item))
        else:
            found.append(item)
    return found


def _pixels(tensor: RequestInput) -> NDArray[np.uint8]:
    """(N, H, W, 3) uint8."""
    shape = tensor.shape if len(tensor.shape) != 3 else [1, *tensor.shape]
    if len(shape) != 4 or shape[3] != 3 or 0 in shape[1:]:
        raise _tensor_error(f"{tensor.shape} is no shape of photos.", "shape")
    check_count(shape[0], f"inputs[{INPUT}]")
    values = _from_numbers(tensor.data or []) if tensor.blob is None else np.frombuffer(tensor.blob, np.uint8)
    if values.size != int(np.prod(shape, dtype=object)):
        raise _tensor_error(f"{values.size:,} values do not fill shape {tensor.shape}.", "shape")
    return values.reshape(shape)


def _from_numbers(data: Sequence[Any]) -> NDArray[np.uint8]:
    """Numbers from 0 to 255, in lists of any depth, as a flat array.

    Without NumPy: of texts it would make an array in which each is as wide as the longest one.
    """
    values = data
    while (kinds := set(map(type, values))) == {list}:
        if len(set(map(len, values))) > 1:
            raise _tensor_error("data are no regular array.", "data")
        values = list(chain.from_iterable(values))
    try:
        if kinds - {int}:
            raise ValueError
        return np.frombuffer(bytes(values), np.uint8)
    except (ValueError, OverflowError) as error:
        raise _tensor_error("data are not whole numbers from 0 to 255.", "data") from error


def _tensor_error(message: str, part: str) -> MalformedBodyError:
    return MalformedBodyError(
        message,
        field=f"inputs[{INPUT}].{part}",
        remedy="Send BYTES [N] with encoded pictures (in JSON: base64), or UINT8 [N, H, W, 3] with RGB pixels.",
    )
