"""What the sweep compares: the techniques of the paper's section 5.1, each at nine thresholds."""

from __future__ import annotations

from collections.abc import Mapping

from weakseg.card import Settings
from weakseg.options import GrabCutEngine, GrabCutMode, Refine

IN_FORCE = "in_force"  # the variant of the main results: the card's defaults, or the flags that were given
GRABCUT = "grabcut"  # naked GrabCut: no threshold, and only for boxes
SWEEP_SIDE_PX = 256  # GrabCut's long side in a sweep, at most: a quarter of the time that 500 takes
THRESHOLDS = tuple(step / 10 for step in range(1, 10))

_MODES: Mapping[str, GrabCutMode | None] = {
    "cam": None,
    "gccam_pf_pb": GrabCutMode.PF_PB,
    "gccam_f_pf": GrabCutMode.F_PF,
    "gccam_f_pb": GrabCutMode.F_PB,
}
SWEPT = tuple(_MODES)  # techniques with a threshold
TITLES = {  # as the paper writes them
    GRABCUT: "grabcut",
    "cam": "cam",
    "gccam_pf_pb": "gccam PF PB",
    "gccam_f_pf": "gccam F PF",
    "gccam_f_pb": "gccam F PB",
}


def variant(technique: str, threshold: float) -> str:
    """The name under which the counts of one technique at one threshold are kept: ``cam 0.3``."""
    return f"{technique} {threshold:.1f}"


def refined(refine: str) -> str:
    """The name under which the counts of one refinement are kept: ``refine crf``."""
    return f"refine {refine}"


def sweep_settings(iterations: int) -> dict[str, Settings]:
    """Variant to settings, for every technique with a threshold."""
    return {
        variant(technique, threshold): _settings(mode, threshold, iterations)
        for technique, mode in _MODES.items()
        for threshold in THRESHOLDS
    }


def _settings(mode: GrabCutMode | None, threshold: float, iterations: int) -> Settings:
    if mode is None:
        return Settings(refine=Refine.NONE, threshold=threshold)
    return Settings(
        refine=Refine.GRABCUT,
        grabcut_engine=GrabCutEngine.OPENCV,  # the paper's
        grabcut_mode=mode,
        levels=mode.levels(threshold),
        iterations=iterations,
        threshold=threshold,
    )
