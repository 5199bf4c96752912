"""The CRF engines by name."""

from __future__ import annotations

from weakseg.options import CrfEngineName
from weakseg.refine.compiled import native
from weakseg.refine.densecrf.levels import LEVELS
from weakseg.refine.densecrf.native import NativeCrf
from weakseg.refine.densecrf.problem import CrfEngine


def open_engine(name: CrfEngineName, *, threads: int = 1, device: str = "cpu") -> CrfEngine:
    """An engine, ready for its first problem.

    Args:
        name: How exact; pydensecrf is the reference, and runs on one core.
        threads: Problems of one batch that run side by side on a CPU.
        device: "cpu": the compiled engine, or PyTorch's operators where it was not built; "cuda:N": those.
    Raises:
        ImportError: pydensecrf is asked for, and not installed.
    """
    if name is CrfEngineName.PYDENSECRF:
        from weakseg.refine.densecrf.reference import infer_with_pydensecrf

        return infer_with_pydensecrf
    if native is not None and device == "cpu":
        return NativeCrf(LEVELS[name], threads)
    from weakseg.refine.densecrf.torch_engine import TorchEngine

    return TorchEngine(name, device)
