"""A whole batch of requests, on one screen: read, network, refine, encode.

Requests of one batch may differ in size and in every option. A bad request gets its error; its neighbours get masks.
"""

from __future__ import annotations

import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

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
from weakseg.codec.decode import Limits, decode_photo
from weakseg.errors import MissingImageError, OptionValueError, RequestError, TilesTooSlowError
from weakseg.finisher import Draft, Finisher
from weakseg.groups import group_plans, pulls_back
from weakseg.option_values import MAX_CLASSES
from weakseg.options import CrfEngineName, Format, Options, Pick, parse_options
from weakseg.plan import Plan
from weakseg.preprocess import prepare
from weakseg.query import best_ranks, join_queries
from weakseg.refine.crf import find_engine
from weakseg.runtime import Runtime
from weakseg.side_by_side import SideBySide
from weakseg.tiles import Tiling, run_tiles
from weakseg.types import Answer, Box, Geometry, GraphOutput, Query, RawRequest, Rgb, Segmentation
from weakseg.work import check_settings, check_work, choose_tiled_side, find_excess, is_installed, plan_tiles

log = logging.getLogger(__name__)

AUTO_LABELS = 5  # classes=auto answers with at most this many labels; where the network labels pixels, with 20
BATCH_DEADLINE_S = 60.0  # half of the time after which TorchServe replaces a worker that does not answer


@dataclass(slots=True)
class Job:
    """One request on its way: each stage adds what it made. A job with an answer is finished."""

    request: RawRequest | RequestError | None  # None once it is read: it may hold 20 MB
    arrived: float
    plan: Plan | None = None
    output: GraphOutput | None = None  # of this photo alone, B = 1; None for naked GrabCut
    draft: Draft | None = None  # where CRFs of a batch are solved together, with its
    solution: NDArray[np.float32] | None = None  # (L, Hb, Wb)
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
        self._tile_hw = (card.preprocessing.height, card.preprocessing.width)
        self._provenance = Provenance.of(card, runtime)
        self._finisher = Finisher(card, runtime.device)
        self._side_by_side = SideBySide(card.threads)
        self._solves_together = runtime.device != "cpu"  # a GPU wants batches, cores want neighbours

    def warm_up(self) -> None:
        """What the first requests would have to wait for: the card's engines, and the costs behind refine=auto."""
        self._finisher.costs()

    def answer(self, requests: Sequence[RawRequest | RequestError]) -> list[Answer]:
        """Answer a batch, in the order of the requests. No request makes this raise.

        ``timings_ms.total`` runs from the arrival of the batch to this answer, waiting for neighbours included.
        """
        arrived = time.perf_counter()
        jobs = [Job(request, arrived) for request in requests]
        self._each(jobs, self._read)
        self._run_network(jobs)
        if self._solves_together:
            self._solve_together(jobs)
        self._each(sorted(jobs, key=_is_tiled), self._finish)  # what takes longest holds up nobody
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
        outputs = {index: self.forward_tiles(plan) for index, plan in enumerate(plans) if plan.tiling}
        for members in group_plans(enumerate(plans), self.card):
            outputs.update(zip(members, self.forward([plans[index] for index in members]), strict=True))
        return [self.finish(plan, outputs.get(index)) for index, plan in enumerate(plans)]

    def _each(self, jobs: Iterable[Job], step: Callable[[Job], None]) -> None:
        """Run one stage for every unfinished job, side by side where the worker has several cores."""
        self._side_by_side.each(partial(_attempt, step), [job for job in jobs if job.answer is None])

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
        photo = decode_photo(request.image, self.limits, least_px=self._least_px(options, chosen))
        job.plan = self.plan(photo.rgb, options, chosen, photo_hw=photo.hw)
        job.timings_ms["decode"] = _ms_since(started)

    def _least_px(self, options: Options, chosen: Format) -> int | None:
        """How small the photo may be decoded: where nothing is drawn on it or cut out of it, as small as it is used."""
        if options.box is not None or chosen in (Format.CUTOUT, Format.OVERLAY, Format.HEATMAP):
            return None
        preprocessing = self.card.preprocessing
        seen_px = self.card.input_side(options) or max(preprocessing.height, preprocessing.width)
        return max(seen_px, *self.card.sides)

    def plan(
        self,
        rgb: Rgb,
        options: Options,
        chosen: Format = Format.MASK,
        *,
        photo_hw: tuple[int, int] | None = None,
    ) -> Plan:
        """Whatever is wrong with a decoded request is found here, before the network runs.

        Args:
            rgb: (h, w, 3) uint8.
            photo_hw: H and W of the photo, where it was decoded smaller than it is.
        Raises:
            RequestError: an unknown class, a box outside the photo.
        """
        settings = self.card.settings(options)
        if not options.is_auto:
            check_settings(settings)
        if options.box is not None:
            _check_box(options.box, rgb)
        if options.classes == ("none",):
            geometry = Geometry(photo_hw or _hw(rgb))
            return Plan(rgb, options, settings, chosen, options.classes, None, None, geometry)
        among = self._among(options)
        query = self._query(options, settings, among)
        if options.tile and options.max_side is None:
            options = self._choose_side(options, _hw(rgb), query)
            settings = self.card.settings(options)
        asked = options.classes if options.classes == ("auto",) else tuple(self.vocabulary.names[i] for i in among)
        ranking = self._ranking(options, query)
        settings = ranking[-1] if ranking else settings  # the cheapest, until there is a choice
        check_work(settings, query, pulls_back=pulls_back(self.card))
        tiling = self._tiling(_hw(rgb), settings, query)
        network_input, geometry = prepare(rgb, self.card.preprocessing, settings.max_side)
        geometry = geometry if photo_hw is None else replace(geometry, photo_hw=photo_hw)
        return Plan(rgb, options, settings, chosen, asked, query, network_input, geometry, ranking, tiling=tiling)

    def _tiling(self, photo_hw: tuple[int, int], settings: Settings, query: Query) -> Tiling | None:
        """Where tiles were asked for, those of the card's height x width."""
        if not settings.tile or settings.max_side is None:
            return None
        return plan_tiles(photo_hw, self._tile_hw, settings.max_side, _count_kept(query))

    def _choose_side(self, options: Options, photo_hw: tuple[int, int], query: Query) -> Options:
        """Tiles without a size: the usual one, or the largest that one request may have of this photo."""
        side = choose_tiled_side(photo_hw, self._tile_hw, _count_kept(query))
        return options.model_copy(update={"max_side": side})

    def _ranking(self, options: Options, query: Query) -> tuple[Settings, ...]:
        """What refine=auto may choose from: whatever is there and no excess for one request. Empty without auto."""
        ranking = self.card.ranking(options) if options.is_auto else ()
        masks = query.labels.shape[1]
        return tuple(each for each in ranking if is_installed(each) and find_excess(each, masks) is None)

    def _among(self, options: Options) -> NDArray[np.int64]:
        """(M,): the labels asked for, or those that compete where none is named."""
        if options.classes == ("auto",):
            return self._rankable
        asked = list(dict.fromkeys(map(self.vocabulary.resolve, options.classes)))
        if self.card.labels_pixels and options.pick is not Pick.BEST:
            self.vocabulary.refuse_shared(asked)
        return np.array(asked, np.int64)

    def _query(self, options: Options, settings: Settings, among: NDArray[np.int64]) -> Query:
        """B = 1. No map is asked for that is not answered, but for those that the tag threshold may drop.

        Where classes are subtracted, none may be dropped: it would have been subtracted from those that stay.
        """
        if options.pick is Pick.BEST:
            labels = best_ranks(1)
        elif options.classes == ("auto",):
            several = self.card.tag_threshold < 1 and not settings.subtract_classes
            most = MAX_CLASSES if self.card.labels_pixels else AUTO_LABELS
            labels = best_ranks(min(most if several else 1, len(among)))
        else:
            labels = among
        return Query(labels[None], among[None], best_ranks(settings.subtract_classes or 0)[None])

    def _run_network(self, jobs: Sequence[Job]) -> None:
        """One forward pass per group, as long as there is time; jobs get their own part of the output."""
        waiting = {index: job.plan for index, job in enumerate(jobs) if job.plan and job.answer is None}
        for members in group_plans(waiting.items(), self.card):
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
        """One forward pass for plans of one input shape; naked GrabCut's plans have no place here.

        Plans with tiles come alone.
        """
        if len(plans) == 1 and plans[0].tiling is not None:
            return [self.forward_tiles(plans[0])]
        images = np.stack([plan.network_input for plan in plans if plan.network_input is not None])  # (B, h, w, 3)
        queries = [plan.query for plan in plans if plan.query is not None]
        output = self.runtime.run(images, join_queries(queries))
        outputs = (output.of_photo(index, query.labels.shape[1]) for index, query in enumerate(queries))
        return [self._finisher.drop_unlikely(plan, part) for plan, part in zip(plans, outputs, strict=True)]

    def forward_tiles(self, plan: Plan, until: float = math.inf) -> GraphOutput:
        """The forward passes of a plan that has tiles.

        Args:
            until: When there is no time left, by ``time.perf_counter()``.
        Raises:
            TilesTooSlowError: not all tiles were seen until then.
        """
        assert plan.tiling is not None
        assert plan.query is not None
        assert plan.network_input is not None
        watch = partial(_watch_clock, until)
        output = run_tiles(self.runtime.run, plan.network_input, plan.query, plan.tiling, watch)
        return self._finisher.drop_unlikely(plan, output)

    def _is_late(self, job: Job, now: float) -> bool:
        return now - job.arrived > self.batch_deadline_s

    def _solve_together(self, jobs: Sequence[Job]) -> None:
        """The CRFs of a batch as one batch. Where that fails, each job solves its own on the CPU.

        pydensecrf runs on the CPU anyway: job by job, between looks at the clock.
        """
        self._each((job for job in jobs if job.output is not None), self._draft)
        posed: dict[CrfEngineName, list[Job]] = defaultdict(list)
        for job in jobs:
            if job.answer is None and job.draft is not None and job.draft.plan.settings.crf is not None:
                posed[job.draft.plan.settings.crf.engine].append(job)
        posed.pop(CrfEngineName.PYDENSECRF, None)
        for name, members in posed.items():
            started = time.perf_counter()
            problems = [job.draft.refinement.problem for job in members if job.draft]
            try:
                solutions = find_engine(name, self.runtime.device)([problem for problem in problems if problem])
            except Exception:
                log.exception("%d CRFs could not be solved together", len(members))
                continue
            for job, solution in zip(members, solutions, strict=True):
                job.solution = solution
                job.timings_ms["refine"] += _ms_since(started)

    def _draft(self, job: Job) -> None:
        """The first half of refinement."""
        started = time.perf_counter()
        plan, output, job.plan, job.output = job.plan, job.output, None, None
        assert plan is not None
        assert output is not None
        left_ms = (job.arrived + self.batch_deadline_s - started) * 1000
        job.draft = self._finisher.draft(plan, output, left_ms=left_ms)
        job.timings_ms["refine"] += _ms_since(started)

    def _finish(self, job: Job) -> None:
        """Refine and encode, job by job: what one photo needs is gone before the next one comes."""
        if self._is_late(job, time.perf_counter()):
            job.answer = encode_late()
            return
        if _is_tiled(job) and job.output is None:
            self._look_at_tiles(job)
        if job.output is not None:
            self._draft(job)
        started = time.perf_counter()
        plan, draft, solution = job.plan, job.draft, job.solution
        job.plan = job.draft = job.solution = None
        if draft is None:
            assert plan is not None
            segmentation = self._finisher.cut_box(plan)
        else:
            plan = draft.plan
            solution = draft.refinement.solve() if solution is None else solution
            segmentation = self._finisher.complete(draft, solution)
        job.timings_ms["refine"] = round(job.timings_ms["refine"] + _ms_since(started), 3)
        in_force = options_in_force(plan, actual_ms=job.timings_ms["refine"])
        job.answer = encode_answer(
            segmentation, in_force, plan.format, self._provenance, job.timings_ms, since=job.arrived
        )

    def _look_at_tiles(self, job: Job) -> None:
        """The network's part, as late as this: whole photos' maps of all jobs of a batch may not fit in memory."""
        started = time.perf_counter()
        assert job.plan is not None
        job.output = self.forward_tiles(job.plan, job.arrived + self.batch_deadline_s)
        job.timings_ms["network"] = _ms_since(started)

    def finish(self, plan: Plan, output: GraphOutput | None) -> Segmentation:
        """Refine what the network said (None: naked GrabCut). A plan may be finished again with other settings."""
        if output is None:
            return self._finisher.cut_box(plan)
        draft = self._finisher.draft(plan, output)
        return self._finisher.complete(draft, draft.refinement.solve(self.runtime.device))


def _attempt(step: Callable[[Job], None], job: Job) -> None:
    """One stage of one job; a job that fails is finished by its error."""
    try:
        step(job)
    except RequestError as error:
        job.answer = encode_error(error)
    except Exception:
        log.exception("a request failed")
        job.answer = encode_error(None)


def _count_kept(query: Query) -> int:
    """Labels whose maps are kept until all tiles were seen: with ranks, those of all that compete."""
    kept = query.among if (query.labels < 0).any() else query.labels  # (1, K)
    return int(kept.shape[1])


def _is_tiled(job: Job) -> bool:
    return job.plan is not None and job.plan.tiling is not None


def _watch_clock(until: float) -> None:
    if time.perf_counter() > until:
        raise TilesTooSlowError(
            "the time that a batch of requests may take was over before all tiles were seen.",
            field="max_side",
            remedy="Send a smaller one, or leave tile out; or send it again when the service is less busy.",
        )


def _hw(rgb: Rgb) -> tuple[int, int]:
    return rgb.shape[0], rgb.shape[1]


def _check_box(box: Box, rgb: Rgb) -> None:
    height, width = _hw(rgb)
    if box.x0 < 0 or box.y0 < 0 or box.x1 > width or box.y1 > height:
        raise OptionValueError(
            f"{box.as_list()} reaches outside the photo of {width} x {height} pixels.",
            field="box",
            remedy=f"Send x0,y0,x1,y1 with 0 <= x0 < x1 <= {width} and 0 <= y0 < y1 <= {height} (upright photo).",
        )


def _ms_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)
