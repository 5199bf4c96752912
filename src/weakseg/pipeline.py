"""A whole batch of requests, on one screen: read, network, refine, encode.

Requests of one batch may differ in size and in every option. A bad request gets its error; its neighbours get masks.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from weakseg.answer import (
    Provenance,
    encode_answer,
    encode_error,
    encode_late,
    negotiate_format,
    options_in_force,
)
from weakseg.card import ModelCard, Settings
from weakseg.codec.decode import Limits, decode_image
from weakseg.doubts import find_doubts
from weakseg.errors import MissingImageError, OptionValueError, RequestError
from weakseg.options import MAX_CRF_WORK, MAX_CUTS, MAX_PASSES, Format, Options, Pick, parse_options
from weakseg.preprocess import prepare
from weakseg.query import best_ranks, join_queries, split_queries
from weakseg.refine.refine import cut_box, refine_maps
from weakseg.runtime import Runtime
from weakseg.types import (
    Answer,
    Box,
    Geometry,
    GraphOutput,
    Query,
    RawRequest,
    Rgb,
    Segment,
    Segmentation,
)

log = logging.getLogger(__name__)

AUTO_LABELS = 5  # classes=auto answers with at most this many labels
TOP_SCORES = 5
BATCH_DEADLINE_S = 60.0  # half of the time after which TorchServe replaces a worker that does not answer


@dataclass(frozen=True, slots=True)
class Plan:
    """A request that was found valid: all that the stages after it need."""

    rgb: Rgb  # (H, W, 3)
    options: Options
    settings: Settings
    format: Format
    asked: tuple[str, ...]  # what ``classes`` was understood as: label names, or auto or none
    query: Query | None  # of this photo alone, B = 1; None for naked GrabCut
    network_input: NDArray[np.uint8] | None  # (h, w, 3); None for naked GrabCut
    geometry: Geometry


@dataclass(slots=True)
class Job:
    """One request on its way: each stage adds what it made. A job with an answer is finished."""

    request: RawRequest | RequestError | None  # None once it is read: it may hold 20 MB
    arrived: float
    plan: Plan | None = None
    output: GraphOutput | None = None  # of this photo alone, B = 1; None for naked GrabCut
    answer: Answer | None = None
    timings_ms: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("decode", "network", "refine"), 0.0))


class Pipeline:
    """The way from photos to masks for one model, without HTTP."""

    def __init__(
        self,
        card: ModelCard,
        runtime: Runtime,
        limits: Limits | None = None,
        batch_deadline_s: float = BATCH_DEADLINE_S,
    ) -> None:
        self.card = card
        self.runtime = runtime
        self.limits = limits or Limits()
        self.batch_deadline_s = batch_deadline_s
        self.vocabulary = card.vocabulary()
        self._rankable = np.flatnonzero(self.vocabulary.rankable())
        self._provenance = Provenance.of(card, runtime)

    def answer(self, requests: Sequence[RawRequest | RequestError]) -> list[Answer]:
        """Answer a batch, in the order of the requests. No request makes this raise.

        ``timings_ms.total`` runs from the arrival of the batch to this answer, waiting for neighbours included.
        """
        arrived = time.perf_counter()
        jobs = [Job(request, arrived) for request in requests]
        _each(jobs, self._read)
        self._run_network(jobs)
        _each(jobs, self._finish)
        return [job.answer or encode_error(None) for job in jobs]

    def segment(self, photos: Sequence[Rgb], options: Sequence[Options]) -> list[Segmentation]:
        """Decoded photos to masks, for callers in the same process.

        Args:
            photos: (H, W, 3) uint8 RGB each; sizes may differ.
            options: One per photo; ``format`` does not matter.
        Raises:
            RequestError: one of the photos cannot be segmented as its options ask.
        """
        plans = [self.plan(rgb, option) for rgb, option in zip(photos, options, strict=True)]
        outputs: dict[int, GraphOutput] = {}
        for members in self._groups(enumerate(plans)):
            outputs.update(zip(members, self.forward([plans[index] for index in members]), strict=True))
        return [self.finish(plan, outputs.get(index)) for index, plan in enumerate(plans)]

    def _read(self, job: Job) -> None:
        started = time.perf_counter()
        request, job.request = job.request, None
        if isinstance(request, RequestError):
            raise request
        assert request is not None
        options = parse_options(request.options)
        chosen = negotiate_format(options, request.accept, explain=request.explain)
        if request.image is None:
            raise MissingImageError(
                "the request has no image.",
                field="image",
                remedy="Send the picture as the body, as multipart field 'image', or as base64 in JSON field 'image'.",
            )
        job.plan = self.plan(decode_image(request.image, self.limits), options, chosen)
        job.timings_ms["decode"] = _ms_since(started)

    def plan(self, rgb: Rgb, options: Options, chosen: Format = Format.MASK) -> Plan:
        """Whatever is wrong with a decoded request is found here, before the network runs.

        Raises:
            RequestError: an unknown class, a box outside the photo.
        """
        settings = self.card.settings(options)
        if options.box is not None:
            _check_box(options.box, rgb)
        if options.classes == ("none",):
            geometry = Geometry((rgb.shape[0], rgb.shape[1]))
            return Plan(rgb, options, settings, chosen, options.classes, None, None, geometry)
        among = self._among(options)
        query = self._query(options, settings, among)
        asked = options.classes if options.classes == ("auto",) else tuple(self.vocabulary.names[i] for i in among)
        _check_work(settings, query, self._pulls_back)
        network_input, geometry = prepare(rgb, self.card.preprocessing)
        return Plan(rgb, options, settings, chosen, asked, query, network_input, geometry)

    def _among(self, options: Options) -> NDArray[np.int64]:
        """(M,): the labels asked for, or those that compete where none is named."""
        if options.classes == ("auto",):
            return self._rankable
        return np.array(list(dict.fromkeys(map(self.vocabulary.resolve, options.classes))), np.int64)

    def _query(self, options: Options, settings: Settings, among: NDArray[np.int64]) -> Query:
        """B = 1. No map is asked for that is not answered, but for those that the tag threshold may drop.

        Where classes are subtracted, none may be dropped: it would have been subtracted from those that stay.
        """
        if options.pick is Pick.BEST:
            labels = best_ranks(1)
        elif options.classes == ("auto",):
            several = self.card.tag_threshold < 1 and not settings.subtract_classes
            labels = best_ranks(min(AUTO_LABELS if several else 1, len(among)))
        else:
            labels = among
        return Query(labels[None], among[None], best_ranks(settings.subtract_classes or 0)[None])

    def _run_network(self, jobs: Sequence[Job]) -> None:
        """One forward pass per group, as long as there is time; jobs get their own part of the output."""
        waiting = {index: job.plan for index, job in enumerate(jobs) if job.plan and job.answer is None}
        for members in self._groups(waiting.items()):
            started = time.perf_counter()
            if self._is_late(jobs[members[0]], started):
                for index in members:
                    jobs[index].answer = encode_late()
                continue
            try:
                outputs = self.forward([waiting[index] for index in members])
            except Exception:
                log.exception("the network failed for %d requests", len(members))
                for index in members:
                    jobs[index].answer = encode_error(None)
                continue
            for index, output in zip(members, outputs, strict=True):
                jobs[index].output = output
                jobs[index].timings_ms["network"] = _ms_since(started)

    def forward(self, plans: Sequence[Plan]) -> list[GraphOutput]:
        """One forward pass for plans of one input shape; naked GrabCut's plans have no place here."""
        images = np.stack([plan.network_input for plan in plans if plan.network_input is not None])  # (B, h, w, 3)
        queries = [plan.query for plan in plans if plan.query is not None]
        output = self.runtime.run(images, join_queries(queries))
        return [output.of_photo(index, query.labels.shape[1]) for index, query in enumerate(queries)]

    @property
    def _pulls_back(self) -> bool:
        """Whether each label costs a backward pass."""
        return self.card.method != "cam"

    def _groups(self, plans: Iterable[tuple[int, Plan]]) -> list[list[int]]:
        """Indices of plans that share a forward pass, by input shape. Naked GrabCut is in no group.

        With gradients they ask for equally many labels and rivals too, so that nobody pays for a neighbour's, and for
        at most MAX_PASSES backward passes together: gradients of every label are in memory at once.
        """
        groups: dict[tuple[int, ...], list[tuple[int, Query]]] = defaultdict(list)
        for index, plan in plans:
            if plan.network_input is not None and plan.query is not None:
                asked = (plan.query.labels.shape[1], plan.query.rivals.shape[1]) if self._pulls_back else ()
                groups[(*plan.network_input.shape, *asked)].append((index, plan.query))
        most = MAX_PASSES if self._pulls_back else None
        return [
            [index for index, _ in group[part]]
            for group in groups.values()
            for part in split_queries([query for _, query in group], most)
        ]

    def _is_late(self, job: Job, now: float) -> bool:
        return now - job.arrived > self.batch_deadline_s

    def _finish(self, job: Job) -> None:
        """Refine and encode, job by job: what one photo needs is gone before the next one comes."""
        started = time.perf_counter()
        if self._is_late(job, started):
            job.answer = encode_late()
            return
        plan, output, job.plan, job.output = job.plan, job.output, None, None
        assert plan is not None
        segmentation = self.finish(plan, output)
        job.timings_ms["refine"] = _ms_since(started)
        in_force = options_in_force(plan.options, plan.settings, plan.format, plan.asked)
        job.answer = encode_answer(
            segmentation, in_force, plan.format, self._provenance, job.timings_ms, since=job.arrived
        )

    def finish(self, plan: Plan, output: GraphOutput | None) -> Segmentation:
        """Refine what the network said (None: naked GrabCut). A plan may be finished again with other settings."""
        if output is None:
            return self._cut_box(plan)
        scores, chosen, maps = output.scores[0], output.chosen[0], output.maps[0]  # (L,) (K,) (K, h', w')
        kept = self._kept(plan.options, scores[chosen])
        chosen, maps = chosen[kept], maps[kept]
        names = tuple(self.vocabulary.names[index] for index in chosen)
        refined = refine_maps(
            plan.rgb,
            maps,
            plan.geometry,
            plan.settings,
            names,
            scores[chosen].tolist(),
            box=plan.options.box,
            context=self.card.box_context,
            side=self.card.refine_side,
        )
        segments = tuple(
            Segment(name, int(index), float(scores[index]), value)
            for value, (name, index) in enumerate(zip(names, chosen, strict=True), start=1)
        )
        warnings = refined.warnings + find_doubts(refined.label_map, segments)
        return Segmentation(
            plan.rgb, refined.label_map, maps, plan.geometry, segments, self._top_scores(scores), warnings
        )

    def _kept(self, options: Options, scores: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Which of the maps asked for are answered: (K,) scores to (K,) bool, at least one True."""
        if options.classes != ("auto",):
            return np.ones(len(scores), bool)
        best = np.zeros(len(scores), bool)
        best[scores.argmax()] = True
        return best | (scores >= self.card.tag_threshold)

    def _cut_box(self, plan: Plan) -> Segmentation:
        """Naked GrabCut."""
        assert plan.options.box is not None
        refined = cut_box(
            plan.rgb,
            plan.geometry,
            plan.options.box,
            iterations=plan.settings.iterations or 1,
            context=self.card.box_context,
            side=self.card.refine_side,
        )
        segments = (Segment("object", -1, None, 1),)
        no_maps = np.zeros((0, 0, 0), np.float32)
        warnings = refined.warnings + find_doubts(refined.label_map, segments)
        return Segmentation(plan.rgb, refined.label_map, no_maps, plan.geometry, segments, (), warnings)

    def _top_scores(self, scores: NDArray[np.float32]) -> tuple[tuple[str, float], ...]:
        best = self._rankable[np.argsort(-scores[self._rankable], kind="stable")[:TOP_SCORES]]
        return tuple((self.vocabulary.names[index], float(scores[index])) for index in best)


def _each(jobs: Iterable[Job], step: Callable[[Job], None]) -> None:
    """Run one stage for every unfinished job; a job that fails is finished by its error."""
    for job in jobs:
        if job.answer is not None:
            continue
        try:
            step(job)
        except RequestError as error:
            job.answer = encode_error(error)
        except Exception:
            log.exception("a request failed")
            job.answer = encode_error(None)


def _check_work(settings: Settings, query: Query, pulls_back: bool) -> None:
    """A worker belongs to one request for seconds, not for minutes."""
    masks, rivals = query.labels.shape[1], query.rivals.shape[1]
    if pulls_back and masks + rivals > MAX_PASSES:
        raise OptionValueError(
            f"{masks} classes less {rivals} others are more than {MAX_PASSES} backward passes.",
            field="subtract_classes",
            remedy=f"Send fewer classes, or a smaller number to subtract: their sum may be {MAX_PASSES} at most.",
        )
    if settings.iterations is not None and masks * settings.iterations > MAX_CUTS:
        raise OptionValueError(
            f"{masks} classes with {settings.iterations} iterations each are more than {MAX_CUTS} cuts.",
            field="iterations",
            remedy=f"Send fewer classes or iterations: their product may be {MAX_CUTS} at most.",
        )
    if settings.crf is not None and masks * settings.crf.steps > MAX_CRF_WORK:
        raise OptionValueError(
            f"{masks} classes in a CRF of {settings.crf.steps} steps are too much work for one request.",
            field="crf_steps",
            remedy=f"Send fewer classes or steps: their product may be {MAX_CRF_WORK} at most.",
        )


def _check_box(box: Box, rgb: Rgb) -> None:
    height, width = rgb.shape[:2]
    if box.x0 < 0 or box.y0 < 0 or box.x1 > width or box.y1 > height:
        raise OptionValueError(
            f"{box.as_list()} reaches outside the photo of {width} x {height} pixels.",
            field="box",
            remedy=f"Send x0,y0,x1,y1 with 0 <= x0 < x1 <= {width} and 0 <= y0 < y1 <= {height} (upright photo).",
        )


def _ms_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)
