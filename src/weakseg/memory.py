"""Whether memory ran out: each library says it in its own way."""

from __future__ import annotations

import cv2
import torch

_WORDS = (
    "can't allocate memory",  # torch on the CPU
    "bad_alloc",  # ONNX Runtime, pybind11
    "failed to allocate memory",  # ONNX Runtime's arenas
    "out of memory",  # CUDA, by whatever way it comes
)


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether this is what a lack of memory looks like: nothing is wrong with the request, and later it may be answered.

    Causes are looked at, too: libraries wrap what others raise.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, (MemoryError, torch.OutOfMemoryError)):
            return True
        if isinstance(seen, cv2.error):
            if getattr(seen, "code", None) == cv2.Error.StsNoMem:
                return True
        elif any(words in str(seen).casefold() for words in _WORDS):  # ONNX Runtime's have no common class
            return True
        seen = seen.__cause__
    return False
