"""The names that options and cards choose from."""

from __future__ import annotations

from enum import StrEnum

DELTA = 0.01  # the paper's delta, which keeps thresholds apart (section 5.1)

Levels = tuple[float, float, float]


STEPS = ("gaussian", "guided", "crf", "grabcut")


class Refine(StrEnum):
    """What is done to a class map before it is a mask: steps, in this order."""

    NONE = "none"
    GAUSSIAN = "gaussian"
    GUIDED = "guided"
    CRF = "crf"
    GRABCUT = "grabcut"
    GAUSSIAN_GUIDED = "gaussian+guided"
    GAUSSIAN_CRF = "gaussian+crf"
    GAUSSIAN_GRABCUT = "gaussian+grabcut"
    GUIDED_GRABCUT = "guided+grabcut"
    CRF_GRABCUT = "crf+grabcut"
    GAUSSIAN_GUIDED_GRABCUT = "gaussian+guided+grabcut"
    GAUSSIAN_CRF_GRABCUT = "gaussian+crf+grabcut"

    @classmethod
    def of(cls, *, smooths: bool = False, guides: bool = False, has_crf: bool = False, cuts: bool = False) -> Refine:
        """The refinement of these steps; a guided filter and a CRF do the same work, so there is none of both."""
        wanted = {"gaussian": smooths, "guided": guides, "crf": has_crf, "grabcut": cuts}
        return cls("+".join(step for step in STEPS if wanted[step]) or "none")

    @property
    def smooths(self) -> bool:
        """Whether the map is smoothed by a Gaussian first."""
        return "gaussian" in self

    @property
    def guides(self) -> bool:
        """Whether a guided filter draws the map to the photo's edges."""
        return "guided" in self

    @property
    def has_crf(self) -> bool:
        """Whether a dense CRF decides, or feeds GrabCut."""
        return "crf" in self

    @property
    def cuts(self) -> bool:
        """Whether GrabCut comes last."""
        return "grabcut" in self


class CrfEngineName(StrEnum):
    """How exactly a dense CRF is computed."""

    EXACT = "exact"
    FAST = "fast"
    FASTEST = "fastest"
    PYDENSECRF = "pydensecrf"


class GrabCutEngine(StrEnum):
    """How GrabCut is computed: coarse to fine, or by OpenCV alone."""

    FAST = "fast"
    OPENCV = "opencv"


class Pick(StrEnum):
    ALL = "all"
    BEST = "best"


class Format(StrEnum):
    MASK = "mask"
    CUTOUT = "cutout"
    OVERLAY = "overlay"
    HEATMAP = "heatmap"
    JSON = "json"
    NPZ = "npz"


class GrabCutMode(StrEnum):
    """The paper's three ways to read four GrabCut levels from one threshold t (section 5.1)."""

    PF_PB = "pf_pb"
    F_PF = "f_pf"
    F_PB = "f_pb"

    def levels(self, threshold: float) -> Levels:
        """(t0, t1, t2) for threshold t in [0, 1]."""
        return {
            GrabCutMode.PF_PB: (0.0, threshold, 1.0),
            GrabCutMode.F_PF: (0.0, min(DELTA, threshold), threshold),
            GrabCutMode.F_PB: (0.0, threshold, min(threshold + DELTA, 1.0)),
        }[self]
