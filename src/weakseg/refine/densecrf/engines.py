"""The CRF engines by name."""

from __future__ import annotations

from weakseg.options import CrfEngineName
from weakseg.refine.densecrf.problem import CrfEngine
from weakseg.refine.densecrf.reference import infer_with_pydensecrf


def open_engine(name: CrfEngineName) -> CrfEngine:
    """An engine, ready for its first problem."""
    if name is not CrfEngineName.PYDENSECRF:
        raise NotImplementedError(name)
    return infer_with_pydensecrf
