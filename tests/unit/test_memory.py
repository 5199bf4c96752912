"""A lack of memory is known by what each library says of it, and nothing else is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch

from weakseg.memory import ran_out_of_memory

TOO_MUCH = 10**15  # bytes: more than a process can name


ATTEMPTS: dict[str, Callable[[], object]] = {
    "Python": lambda: bytes(TOO_MUCH),
    "NumPy": lambda: np.zeros(TOO_MUCH),
    "torch": lambda: torch.zeros(TOO_MUCH),
    "OpenCV": lambda: cv2.resize(np.zeros((100, 100, 3), np.uint8), (200_000_000, 200_000)),
}


@pytest.mark.parametrize("library", ATTEMPTS)
def test_what_libraries_raise_where_there_is_too_little(library: str) -> None:
    try:
        ATTEMPTS[library]()
    except Exception as error:
        assert ran_out_of_memory(error), repr(error)
    else:
        pytest.fail("there was enough")


@pytest.mark.parametrize("words", ["std::bad_alloc", "Failed to allocate memory for requested buffer of size 1"])
def test_what_onnx_runtime_says(words: str) -> None:
    from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

    assert ran_out_of_memory(RuntimeException(f"[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : {words}"))


def test_a_cause_counts() -> None:
    try:
        try:
            raise MemoryError
        except MemoryError as error:
            raise ValueError("what a library made of it") from error
    except ValueError as error:
        assert ran_out_of_memory(error)


@pytest.mark.parametrize("error", [ValueError("memory"), RuntimeError("shapes differ"), cv2.error("bad argument")])
def test_other_errors_are_no_lack_of_memory(error: Exception) -> None:
    assert not ran_out_of_memory(error)


def test_a_photo_that_does_not_fit_is_not_called_damaged() -> None:
    """In a process of its own, whose address space ends soon; the picture has 49 megapixels."""
    code = """
import io, resource
from PIL import Image
from weakseg.codec.decode import decode_image
data = io.BytesIO()
Image.new("L", (7000, 7000)).save(data, "PNG")
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 20_000_000, -1))
try:
    decode_image(data.getvalue())
except MemoryError:
    print("MemoryError")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "MemoryError", done.stdout + done.stderr
