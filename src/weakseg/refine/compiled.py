"""The compiled part of the package (src/native), where it was built; else None."""

from __future__ import annotations

try:
    from weakseg import _native as native
except ImportError:  # installed where no compiler was
    native = None  # type: ignore[assignment]

__all__ = ["native"]
