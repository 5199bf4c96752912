"""Whether an error means that memory ran out: every library says it in its own way."""

from __future__ import annotations

# OpenCV, PyTorch on CPU and GPU, ONNX Runtime, C++.
_SIGNS = (
    "insufficient memory",
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "failed to allocate memory",
    "bad_alloc",
    "bad allocation",
)


def ran_out(error: BaseException) -> bool:
    """Whether the same work may succeed later, or where there is more memory."""
    return isinstance(error, MemoryError) or any(sign in str(error).casefold() for sign in _SIGNS)
