"""Whether memory ran out: each library says it in its own way."""

from __future__ import annotations

import torch

_WORDS = (
    "can't allocate memory",  # torch on the CPU
    "bad_alloc",  # ONNX Runtime, pybind11
    "failed to allocate memory",  # ONNX Runtime's arenas, whose errors have no class in common
    "(-4:insufficient memory)",  # OpenCV; `cv2.error.code` belongs to the class, and so to whatever error came last
    "out of memory",  # CUDA, by whatever way it comes
)


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether this is a lack of memory: nothing is wrong with the request, and later it may be answered.

    Causes are looked at, too: libraries wrap what others raise.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, (MemoryError, torch.OutOfMemoryError)):
            return True
        if any(words in str(seen).casefold() for words in _WORDS):
            return True
        seen = seen.__cause__
    return False
