"""The CRF engines by name."""

from __future__ import annotations

from weakseg.options import CrfEngineName
from weakseg.refine.densecrf.levels import LEVELS
from weakseg.refine.densecrf.native import NativeCrf
from weakseg.refine.densecrf.problem import CrfEngine
from weakseg.refine.densecrf.reference import infer_with_pydensecrf


def open_engine(name: CrfEngineName, *, threads: int = 1) -> CrfEngine:
    """An engine, ready for its first problem.

    Args:
        threads: Problems of one batch that it works on side by side.
    """
    if name is CrfEngineName.PYDENSECRF:
        return infer_with_pydensecrf
    return NativeCrf(LEVELS[name], threads)
