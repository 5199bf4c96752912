"""Triton's HTTP client, in a process of its own.

It is made of gevent, whose event loop and signal handling have no place in the process that also runs the fronts of
other tests, with asyncio and threads of Rust.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np

TIMEOUT_S = 180


@dataclass(frozen=True)
class Tensor:
    """An input. Args: datatype: BYTES or UINT8. binary: Sent behind the JSON, not in it."""

    values: np.ndarray[Any, Any]
    datatype: str
    binary: bool = True
    name: str = "image"


@dataclass(frozen=True)
class Wanted:
    """An output that is asked for."""

    name: str
    binary: bool = True


@dataclass(frozen=True)
class Result:
    """What the client made of an answer."""

    response: dict[str, Any]
    tensors: Mapping[str, np.ndarray[Any, Any]]

    def output(self, name: str) -> dict[str, Any]:
        return next(output for output in self.response["outputs"] if output["name"] == name)


class TritonError(Exception):
    """The client's own exception: `status`, and the service's words."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message

    def __str__(self) -> str:
        return self.message


class Triton:
    """A client of one service. Use it as a context manager."""

    def __init__(self, url: str) -> None:
        self._address = url.removeprefix("http://")
        self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))

    def __enter__(self) -> Triton:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def ask(self, method: str, *arguments: str) -> Any:
        """What a method of `tritonclient.http.InferenceServerClient` answers, such as ``is_server_live``."""
        return self._pool.submit(_ask, self._address, method, *arguments).result(TIMEOUT_S)

    def infer(
        self, model: str, inputs: Sequence[Tensor], *, outputs: Sequence[Wanted] | None = None, **options: Any
    ) -> Result:
        """Args: options: Of the client's method ``infer``.

        Raises:
            TritonError: the client raised its own.
        """
        asked = self._pool.submit(_infer, self._address, model, list(inputs), outputs and list(outputs), options)
        return asked.result(TIMEOUT_S)


def _ask(address: str, method: str, *arguments: str) -> Any:
    import tritonclient.http as triton

    with triton.InferenceServerClient(address) as client:
        return getattr(client, method)(*arguments)


def _infer(
    address: str, model: str, inputs: list[Tensor], outputs: list[Wanted] | None, options: dict[str, Any]
) -> Result:
    import tritonclient.http as triton
    from tritonclient.utils import InferenceServerException

    asked = [triton.InferInput(tensor.name, list(tensor.values.shape), tensor.datatype) for tensor in inputs]
    for made, tensor in zip(asked, inputs, strict=True):
        made.set_data_from_numpy(tensor.values, binary_data=tensor.binary)
    wanted = outputs and [triton.InferRequestedOutput(one.name, binary_data=one.binary) for one in outputs]
    with triton.InferenceServerClient(address) as client:
        try:
            result = client.infer(model, asked, outputs=wanted, **options)
        except InferenceServerException as error:
            raise TritonError(str(error.status()), str(error.message())) from None
    response = result.get_response()
    return Result(response, {output["name"]: result.as_numpy(output["name"]) for output in response["outputs"]})
