"""A whole batch of requests, on one screen: read, forward, refine, encode.

Requests of one batch may differ in size and in every option. A bad request gets its error; its neighbours get masks.
"""

from __future__ import annotations

import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from weakseg.answer import (
    Provenance,
    encode_answer,
    negotiate_format,
    options_in_force,
)
from weakseg.card import ModelCard
from weakseg.codec.decode import Limits, decode_photo
from weakseg.errors import MissingImageError, RequestError, TilesTooSlowError
from weakseg.failures import encode_error, encode_failure, encode_late
from weakseg.finisher import Finisher
from weakseg.groups import group_plans
from weakseg.job import Job
from weakseg.memory import ran_out_of_memory
from weakseg.options import CrfEngineName, Format, Options, parse_options
from weakseg.plan import Plan
from weakseg.planner import Planner
from weakseg.query import join_queries
from weakseg.refine.crf import find_engine
from weakseg.runtime import Runtime
from weakseg.side_by_side import SideBySide
from weakseg.stopwatch import Stopwatch
from weakseg.tiles import run_tiles
from weakseg.types import Answer, GraphOutput, RawRequest, Rgb, Segmentation

log = logging.getLogger(__name__)

BATCH_DEADLINE_S = 60.0  # half of the time after which TorchServe replaces a worker that does not answer


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
        self._provenance = Provenance.of(card, runtime)
        self._planner = Planner(card)
        self._finisher = Finisher(card, runtime.device)
        self._side_by_side = SideBySide(card.threads)
        self._solves_together = runtime.device != "cpu"  # a GPU wants batches, cores want neighbours

    def warm_up(self) -> None:
        """What the first requests would have to wait for: the card's engines, and the costs behind refine=auto."""
        self._finisher.costs()

    def answer(self, requests: Sequence[RawRequest | RequestError]) -> list[Answer]:
        """Answer a batch, in the order of the requests. No request makes this raise.

        ``timings_ms.total`` runs from the arrival of the batch to this answer, waiting for neighbours included; that of
        ``Answer.telemetry`` to the last answer of the batch.
        """
        arrived = time.perf_counter()
        jobs = [Job(request, Stopwatch(arrived), getattr(request, "request_id", "")) for request in requests]
        self._each(jobs, self._read)
        self._forward_groups(jobs)
        if self._solves_together:
            self._solve_together(jobs)
        self._each(sorted(jobs, key=lambda job: job.is_tiled), self._finish)  # what takes longest holds up nobody
        method = self._provenance.method
        return [replace(job.answer or encode_error(None), telemetry=job.measured(method)) for job in jobs]

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
        return self._planner.plan(rgb, options, chosen, photo_hw=photo_hw)

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

    def finish(self, plan: Plan, output: GraphOutput | None) -> Segmentation:
        """Refine what the network said (None: naked GrabCut). A plan may be finished again with other settings."""
        if output is None:
            return self._finisher.cut_box(plan)
        draft = self._finisher.draft(plan, output)
        return self._finisher.complete(draft, draft.refinement.solve(self.runtime.device))

    # The stages of a batch, in their order.

    def _each(self, jobs: Iterable[Job], step: Callable[[Job], None]) -> None:
        """Run one stage for every unfinished job, side by side where the worker has several cores."""
        self._side_by_side.each(lambda job: job.attempt(step), [job for job in jobs if job.answer is None])

    def _read(self, job: Job) -> None:
        with job.watch.stage("decode"):
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
                    remedy="Send the picture as the body, as multipart field 'image', or as base64 in JSON field "
                    "'image'.",
                )
            photo = decode_photo(request.image, self.limits, least_px=self._planner.least_px(options, chosen))
            job.plan = self.plan(photo.rgb, options, chosen, photo_hw=photo.hw)

    def _forward_groups(self, jobs: Sequence[Job]) -> None:
        """One forward pass per group, as long as there is time; jobs get their own part of the output."""
        waiting = {index: job.plan for index, job in enumerate(jobs) if job.plan and job.answer is None}
        for members in group_plans(waiting.items(), self.card):
            group = [jobs[index] for index in members]
            if self._is_late(group[0]):
                for job in group:
                    job.answer = encode_late()
                continue
            self._forward_group(group, [waiting[index] for index in members])

    def _forward_group(self, group: Sequence[Job], plans: Sequence[Plan]) -> None:
        started = time.perf_counter()
        try:
            outputs = self.forward(plans)
        except Exception as error:
            if ran_out_of_memory(error) and len(group) > 1:  # each alone may fit
                for job, plan in zip(group, plans, strict=True):
                    self._forward_group([job], [plan])
                return
            failed = encode_failure(error, ", ".join(job.request_id for job in group))
            for job in group:
                job.answer = failed
            return
        for job, output in zip(group, outputs, strict=True):
            job.output = output
            job.watch.add("forward", time.perf_counter() - started)

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
                job.watch.add("refine", time.perf_counter() - started)

    def _draft(self, job: Job) -> None:
        """The first half of refinement."""
        with job.watch.stage("refine"):
            plan, output, job.plan, job.output = job.plan, job.output, None, None
            assert plan is not None
            assert output is not None
            job.draft = self._finisher.draft(plan, output, left_ms=job.left_s(self.batch_deadline_s) * 1000)

    def _finish(self, job: Job) -> None:
        """Refine and encode, job by job: what one photo needs is gone before the next one comes."""
        if self._is_late(job):
            job.answer = encode_late()
            return
        if job.is_tiled and job.output is None:
            self._look_at_tiles(job)
        if job.output is not None:
            self._draft(job)
        plan, segmentation = self._refine(job)
        job.note(plan, segmentation)
        in_force = options_in_force(plan, job.watch)
        job.answer = encode_answer(segmentation, in_force, plan.format, self._provenance, job.watch)

    def _look_at_tiles(self, job: Job) -> None:
        """The network's part, as late as this: whole photos' maps of all jobs of a batch may not fit in memory."""
        assert job.plan is not None
        with job.watch.stage("forward"):
            job.output = self.forward_tiles(job.plan, job.watch.started + self.batch_deadline_s)

    def _refine(self, job: Job) -> tuple[Plan, Segmentation]:
        """The second half of refinement, or naked GrabCut."""
        plan, draft, solution = job.plan, job.draft, job.solution
        job.plan = job.draft = job.solution = None
        with job.watch.stage("refine"):
            if draft is None:
                assert plan is not None
                return plan, self._finisher.cut_box(plan)
            solution = draft.refinement.solve() if solution is None else solution
            segmentation = self._finisher.complete(draft, solution)
        job.watch.move(draft.refinement.restoring_s, to="maps", out_of="refine")
        return draft.plan, segmentation

    def _is_late(self, job: Job) -> bool:
        return job.left_s(self.batch_deadline_s) < 0


def _watch_clock(until: float) -> None:
    if time.perf_counter() > until:
        raise TilesTooSlowError(
            "the time that a batch of requests may take was over before all tiles were seen.",
            field="max_side",
            remedy="Send a smaller one, or leave tile out; or send it again when the service is less busy.",
        )
