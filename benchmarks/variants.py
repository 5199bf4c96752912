"""What `benchmarks.pareto` compares: refinements, the engines that compute them, and the sizes at which they run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from weakseg.card import ModelCard, Settings
from weakseg.options import CrfEngineName, GrabCutEngine, Refine, parse_options

_AFTER_THE_MAP = (Refine.GUIDED, Refine.GRABCUT, Refine.CRF, Refine.GUIDED_GRABCUT, Refine.CRF_GRABCUT)
_BOTH_ENGINES = (  # of CRF and GrabCut together: ours, and the originals
    (CrfEngineName.FASTEST, GrabCutEngine.FAST),
    (CrfEngineName.FAST, GrabCutEngine.FAST),
    (CrfEngineName.PYDENSECRF, GrabCutEngine.OPENCV),
)


@dataclass(frozen=True, slots=True)
class Variant:
    """One refinement; sides and engines are None where no step needs them."""

    refine: Refine
    crf_engine: CrfEngineName | None = None
    grabcut_engine: GrabCutEngine | None = None
    soft_side: int | None = None  # of the CRF or the guided filter
    cut_side: int | None = None

    @property
    def title(self) -> str:
        """``crf fast 192 + grabcut fast 320``."""
        if self.refine in (Refine.NONE, Refine.GAUSSIAN):
            return self.refine.value
        of_steps = {"crf": (self.crf_engine, self.soft_side), "grabcut": (self.grabcut_engine, self.cut_side)}
        of_steps["guided"] = (None, self.soft_side)
        steps = [[step, *of_steps.get(step, ())] for step in self.refine.split("+")]
        return " + ".join(" ".join(str(part) for part in step if part is not None) for step in steps)

    def fit(self, card: ModelCard) -> ModelCard:
        """The card with this variant's sides."""
        return card.model_copy(
            update={"guided_side": self.soft_side, "crf_side": self.soft_side, "grabcut_side": self.cut_side}
        )

    def settings(self, card: ModelCard, threshold: float | None) -> Settings:
        """What a request for this variant would do; the card's threshold where None is given."""
        sent = {
            "refine": self.refine,
            "crf_engine": self.crf_engine,
            "grabcut_engine": self.grabcut_engine,
            "threshold": threshold,
        }
        return card.settings(parse_options(sent))

    def tuned_as(self) -> Variant:
        """The variant whose threshold it shares: the same steps at the same sizes by the default engines."""
        crf = CrfEngineName.FAST if self.crf_engine else None
        grabcut = GrabCutEngine.FAST if self.grabcut_engine else None
        return Variant(self.refine, crf, grabcut, self.soft_side, self.cut_side)


def list_refines(card: ModelCard) -> list[Refine]:
    """Those that differ in kind; where the card smooths its maps, so does each of them."""
    smooths = card.photo_task.refine.smooths
    more = [
        Refine.of(smooths=smooths, guides=refine.guides, has_crf=refine.has_crf, cuts=refine.cuts)
        for refine in _AFTER_THE_MAP
    ]
    return [Refine.NONE, Refine.GAUSSIAN, *more]


def list_variants(
    refines: Sequence[Refine], sides: Sequence[int], engines: Sequence[CrfEngineName] = tuple(CrfEngineName)
) -> list[Variant]:
    """Every refinement with every engine at every size; GrabCut never smaller than the CRF before it.

    Args:
        engines: Of CRFs; those that are not installed are left out.
    """
    found = dict.fromkeys(variant for refine in refines for variant in _vary(refine, sides))
    installed = {engine for engine in engines if engine is not CrfEngineName.PYDENSECRF or find_spec("pydensecrf")}
    return [variant for variant in found if variant.crf_engine is None or variant.crf_engine in installed]


def _vary(refine: Refine, sides: Sequence[int]) -> Iterator[Variant]:
    soft_sides = sides if refine.has_crf or refine.guides else [None]
    for soft_side in soft_sides:
        cut_sides = [side for side in sides if side >= (soft_side or 0)] if refine.cuts else [None]
        for cut_side in cut_sides:
            for crf_engine, grabcut_engine in _list_engines(refine):
                yield Variant(refine, crf_engine, grabcut_engine, soft_side, cut_side)


def _list_engines(refine: Refine) -> Sequence[tuple[CrfEngineName | None, GrabCutEngine | None]]:
    if refine.has_crf and refine.cuts:
        return _BOTH_ENGINES
    if refine.has_crf:
        return [(engine, None) for engine in CrfEngineName]
    if refine.cuts:
        return [(None, engine) for engine in GrabCutEngine]
    return [(None, None)]
