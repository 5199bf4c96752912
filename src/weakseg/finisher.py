"""What the network said of one photo, to its segmentation; refine=auto is chosen here."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from weakseg.card import ModelCard
from weakseg.doubts import find_doubts, find_pixel_doubts
from weakseg.options import Refine
from weakseg.plan import Choice, Plan
from weakseg.refine.bench import find_region
from weakseg.refine.claims import claims_of
from weakseg.refine.costs import Costs, Work, measure_costs
from weakseg.refine.refine import Refinement, cut_box
from weakseg.types import GraphOutput, LabelMap, Maps, Segment, Segmentation

TOP_SCORES = 5
MOST_VALUES = 254  # of a label map, beside 0 and 255, which is void in VOC and to what reads masks


@dataclass(frozen=True, slots=True)
class Draft:
    """One photo between the halves of its refinement."""

    plan: Plan  # refine=auto is chosen
    scores: NDArray[np.float32]  # (L,)
    chosen: NDArray[np.int64]  # (K,), the labels that are answered
    maps: Maps  # (K, h', w')
    refinement: Refinement


class Finisher:
    """Refines what a model's network said.

    Args:
        device: Where CRFs are solved: "cpu" or "cuda:N".
    """

    def __init__(self, card: ModelCard, device: str = "cpu") -> None:
        self._card, self._device = card, device
        self._vocabulary = card.vocabulary()
        self._rankable = np.flatnonzero(self._vocabulary.rankable())
        self._claims = claims_of(labels_pixels=card.labels_pixels)
        # Labels keep their values whatever is asked for, where there are values enough.
        self._is_stable = card.labels_pixels and len(self._vocabulary) <= MOST_VALUES
        self._legend = tuple(enumerate(self._vocabulary.names, start=1)) if self._is_stable else ()
        self._measuring = Lock()
        self._costs: Costs | None = None

    def costs(self) -> Costs:
        """What refinements cost on this machine; measured when they are first asked for."""
        with self._measuring:
            if self._costs is None:
                self._costs = measure_costs(self._card, self._device)
            return self._costs

    def drop_unlikely(self, plan: Plan, output: GraphOutput) -> GraphOutput:
        """What the network said, B = 1, without the maps that are not answered: those of pixels are large.

        They need not wait for the end of the batch.
        """
        kept = self._kept(plan, output.chosen[0], output.scores[0])
        if not self._card.labels_pixels or kept.all():
            return output
        return GraphOutput(output.scores, output.maps[:, kept], output.chosen[:, kept])  # a copy, as small as it is

    def draft(self, plan: Plan, output: GraphOutput, *, left_ms: float = math.inf) -> Draft:
        """The first half, up to the CRF.

        Args:
            output: B = 1.
            left_ms: Until the deadline; refine=auto takes no more.
        """
        scores, chosen, maps = output.scores[0], output.chosen[0], output.maps[0]  # (L,) (K,) (K, h', w')
        kept = self._kept(plan, chosen, scores)
        chosen, maps = chosen[kept], maps[kept]
        plan = self._settle(plan, len(chosen), left_ms)
        refinement = Refinement(
            plan.rgb,
            maps,
            plan.geometry,
            plan.settings,
            [self._vocabulary.names[index] for index in chosen],
            scores[chosen].tolist(),
            box=plan.options.box,
            context=self._card.box_context,
            sides=self._card.sides,
            claims=self._claims,
        )
        return Draft(plan, scores, chosen, maps, refinement)

    def complete(self, draft: Draft, solution: NDArray[np.float32] | None) -> Segmentation:
        """The second half.

        Args:
            solution: Of the draft's CRF; None without one.
        """
        refined = draft.refinement.finish(solution)
        values = draft.chosen + 1 if self._is_stable else np.arange(1, len(draft.chosen) + 1)  # (K,)
        label_map = _give_values(refined.label_map, values)
        segments = tuple(
            Segment(
                self._vocabulary.names[index],
                int(index),
                float(draft.scores[index]),
                int(value),
                int(index) + 1 if self._card.labels_pixels else self._vocabulary.category_id(int(index)),
            )
            for value, index in zip(values, draft.chosen, strict=True)
        )
        plan = draft.plan
        find = find_pixel_doubts if self._card.labels_pixels else find_doubts
        warnings = _explain(plan) + refined.warnings + find(label_map, segments)
        top_scores = self._top_scores(draft.scores)
        return Segmentation(
            plan.rgb, label_map, draft.maps, plan.geometry, segments, top_scores, warnings, self._legend
        )

    def cut_box(self, plan: Plan) -> Segmentation:
        """Naked GrabCut."""
        assert plan.options.box is not None
        card = self._card
        refined = cut_box(
            plan.rgb, plan.geometry, plan.options.box, plan.settings, context=card.box_context, sides=card.sides
        )
        segments = (Segment("object", -1, None, 1),)
        no_maps = np.zeros((0, 0, 0), np.float32)
        warnings = refined.warnings + find_doubts(refined.label_map, segments)
        return Segmentation(plan.rgb, refined.label_map, no_maps, plan.geometry, segments, (), warnings)

    def _settle(self, plan: Plan, labels: int, left_ms: float) -> Plan:
        """Choose what refine=auto stands for: the best refinement that fits into the budget and before the deadline.

        Where nothing fits, the quickest: of a large photo that need not be the plain map, which is cut at full size.
        """
        if not plan.ranking:
            return plan
        asked_ms = plan.options.budget_ms or self._card.budget_ms
        budget_ms = max(min(asked_ms, left_ms), 0.0)
        region = find_region(plan.geometry, plan.options.box, self._card.box_context)
        work = Work((region.height, region.width), labels)
        costs = self.costs()
        estimates = [costs.estimate_ms(settings, work) for settings in plan.ranking]
        fitting = (index for index, estimate_ms in enumerate(estimates) if estimate_ms <= budget_ms)
        index = next(fitting, estimates.index(min(estimates)))
        choice = Choice(asked_ms, budget_ms, estimates[index])
        return replace(plan, settings=plan.ranking[index], ranking=(), choice=choice)

    def _kept(self, plan: Plan, chosen: NDArray[np.int64], scores: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Which of the maps asked for are answered: (K,) labels and (L,) scores to (K,) bool, at least one True."""
        if plan.options.classes != ("auto",):
            return np.ones(len(chosen), bool)
        best = np.zeros(len(chosen), bool)
        best[scores[chosen].argmax()] = True
        kept = best | (scores[chosen] >= self._card.tag_threshold)
        return _apart(self._vocabulary.membership()[chosen], kept) if self._card.labels_pixels else kept

    def _top_scores(self, scores: NDArray[np.float32]) -> tuple[tuple[str, float], ...]:
        best = self._rankable[np.argsort(-scores[self._rankable], kind="stable")[:TOP_SCORES]]
        return tuple((self._vocabulary.names[index], float(scores[index])) for index in best)


def _apart(members: NDArray[np.bool_], kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Without labels that share a class with a better one: what a pixel's labels leave of 1 would not be the rest.

    Args:
        members: (K, C), best label first.
        kept: (K,).
    """
    taken = np.zeros(members.shape[1], bool)  # (C,)
    apart = kept.copy()
    for row, own in enumerate(members):
        apart[row] &= not (own & taken).any()
        if apart[row]:
            taken |= own
    return apart


def _give_values(label_map: LabelMap, values: NDArray[np.int64]) -> LabelMap:
    """(H, W) of 0 and k = 1 ... K to the k-th of (K,) values."""
    if np.array_equal(values, np.arange(1, len(values) + 1)):
        return label_map
    return np.concatenate([[0], values]).astype(np.uint8)[label_map]  # (H, W)


def _explain(plan: Plan) -> tuple[str, ...]:
    """A warning where refine=auto had time for no refinement, or for nothing at all."""
    if plan.choice is None:
        return ()
    left_ms, refine = plan.choice.budget_ms, plan.settings.refine
    if refine is Refine.NONE:
        return (f"refine=auto: no refinement fits into {left_ms:.4g} ms; the map is cut as it is.",)
    if plan.choice.estimated_ms > left_ms:
        return (f"refine=auto: nothing fits into {left_ms:.4g} ms; {refine} is the quickest.",)
    return ()
